//! Address ranges.

use std::net::IpAddr;
use std::str::FromStr;

/// `192.0.2.0/24`, `2001:db8::/32`, or one address. IPv4 in its mapped spelling is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

impl Cidr {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                same(u32::from(base).into(), u32::from(ip).into(), self.bits + 96)
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => same(base.into(), ip.into(), self.bits),
            _ => false,
        }
    }
}

/// Whether the first `bits` of 128 agree.
fn same(a: u128, b: u128, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range like 192.0.2.0/24 or 2001:db8::/32");
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = ip.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most || base != base.to_canonical() { Err(wrong()) } else { Ok(Self { base, bits }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(range: &str, ip: &str) -> bool {
        let range: Cidr = range.parse().expect("range");
        range.contains(ip.parse().expect("address"))
    }

    #[test]
    fn a_range_contains_its_addresses_and_no_others() {
        for (range, within, without) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("100.64.0.0/10", "100.127.255.255", "100.128.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "::192.0.2.9"),
        ] {
            assert!(inside(range, within), "{within} in {range}");
            assert!(!inside(range, without), "{without} in {range}");
        }
        assert!(inside("0.0.0.0/0", "203.0.113.1") && !inside("0.0.0.0/0", "2001:db8::1"));
        assert!(inside("::/0", "2001:db8::1") && !inside("::/0", "203.0.113.1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "/8", "192.0.2.0/33", "::1/129", "192.0.2.0/-1", "192.0.2/24", "::ffff:1.2.3.4/100"]
        {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
