//! Addresses: virtual ones, and the two spellings of IPv4.

use super::types::Id;
use noq_proto as q;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Virtual paths have addresses in this unique-local /48. They never appear on a network: packets that
/// claim to come from it are dropped at the socket, packets to it go into the carrier connection.
const VIRTUAL_PREFIX: [u16; 3] = [0xfd7a, 0x7a74, 0x6e61];

/// Address of the virtual path `id`.
pub(crate) fn virtual_address(id: Id) -> SocketAddr {
    let [a, b, c] = VIRTUAL_PREFIX;
    let ip = Ipv6Addr::new(a, b, c, 0, 0, 0, (id >> 16) as u16, id as u16);
    SocketAddr::new(ip.into(), 1)
}

pub(crate) fn is_virtual(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V6(ip) => ip.segments()[..3] == VIRTUAL_PREFIX,
        IpAddr::V4(_) => false,
    }
}

pub(crate) fn virtual_id(address: &SocketAddr) -> Option<Id> {
    match address.ip() {
        IpAddr::V6(ip) if is_virtual(address) => {
            let s = ip.segments();
            Some(Id::from(s[6]) << 16 | Id::from(s[7]))
        }
        _ => None,
    }
}

/// `::ffff:a.b.c.d` as `a.b.c.d`, for people and for observed addresses.
pub(crate) fn unmap(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// noq is given IPv4 addresses as mapped IPv6, whatever the socket: an inner connection has virtual
/// addresses, which are IPv6, and probes to IPv4 candidates then go to mapped ones.
pub(crate) fn as_v6(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}

/// For an IPv4 socket.
pub(crate) fn as_v4(t: &q::Transmit) -> q::Transmit {
    q::Transmit {
        destination: unmap(t.destination),
        src_ip: t.src_ip.map(|ip| ip.to_canonical()),
        ecn: t.ecn,
        size: t.size,
        segment_size: t.segment_size,
    }
}

/// The spelling that a socket of this family wants. A dual-stack socket reaches IPv4 as mapped IPv6.
pub(crate) fn for_socket(address: SocketAddr, socket_is_v6: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if socket_is_v6 => {
            SocketAddr::new(Ipv4Addr::to_ipv6_mapped(&ip).into(), address.port())
        }
        IpAddr::V6(_) if !socket_is_v6 => unmap(address),
        _ => address,
    }
}

/// The address that packets to `to` would come from, by the routes of the moment, of a socket bound to `bound`.
pub(crate) fn source_of(bound: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    if !bound.is_unspecified() {
        return Some(bound);
    }
    let to = unmap(to);
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|a| a.ip())
}

/// Whether the host has this address now.
pub(crate) fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip.to_canonical(), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_address_names_its_path() {
        for id in [0, 1, 0xffff, 0x1_0000, 0x8000_0001] {
            let address = virtual_address(id);
            assert!(is_virtual(&address));
            assert_eq!(virtual_id(&address), Some(id));
        }
        assert_eq!(virtual_id(&"[fd00::1]:1".parse().expect("literal")), None);
    }

    #[test]
    fn a_dual_stack_socket_sees_ipv4_as_mapped() {
        let v4: SocketAddr = "192.0.2.1:9".parse().expect("literal");
        let mapped = for_socket(v4, true);
        assert_eq!(mapped.to_string(), "[::ffff:192.0.2.1]:9");
        assert_eq!(unmap(mapped), v4);
        assert_eq!(for_socket(mapped, false), v4);
    }
}
