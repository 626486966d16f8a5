//! Packets that do not fit a datagram: cut into fragments, and put together again.
//!
//! ```text
//! fragment = prefix, packet id (u16, big endian), index (7 bits) with the last bit on top, bytes (1..)
//! ```
//!
//! Packet ids count per sender and channel; those that a relay makes have the top bit set, those that
//! an endpoint makes do not. The TypeScript side of the same rules is `packages/wire`; both are pinned
//! by `vectors/fragment.json`.

mod reassembler;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use bytes::{BufMut, Bytes, BytesMut};

pub use reassembler::{Reassembler, ReassemblerCounters, ReassemblerLimits, Refused};

/// Bytes of a fragment between its prefix and its piece of the packet.
pub const FRAGMENT_HEADER: usize = 3;
/// Most fragments of a packet: seven bits of index.
pub const MAX_FRAGMENTS: usize = 128;
/// Longest packet in bytes.
pub const MAX_PACKET: usize = 65_535;
/// Set in the packet ids that a relay makes.
pub const RELAY_PACKET_BIT: u16 = 0x8000;

const LAST_BIT: u8 = 0x80;

/// A packet cannot be cut: it is empty, longer than [`MAX_PACKET`], or needs more than
/// [`MAX_FRAGMENTS`] fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {len} bytes cannot be cut into fragments of at most {limit} bytes")]
pub struct SplitError {
    /// Bytes of the packet.
    pub len: usize,
    /// Largest fragment, prefix included.
    pub limit: usize,
}

/// Cuts `packet` into as few fragments of at most `limit` bytes as possible (prefix included), of
/// equal size but for the last one, and hands them to `emit` in order. Returns how many.
///
/// Nothing is emitted on an error. All fragments share one allocation.
pub fn split(
    prefix: &[u8],
    packet_id: u16,
    packet: &[u8],
    limit: usize,
    mut emit: impl FnMut(Bytes),
) -> Result<usize, SplitError> {
    let error = SplitError { len: packet.len(), limit };
    let overhead = prefix.len() + FRAGMENT_HEADER;
    let room = limit.checked_sub(overhead).filter(|room| *room > 0).ok_or(error)?;
    let count = packet.len().div_ceil(room);
    if packet.is_empty() || packet.len() > MAX_PACKET || count > MAX_FRAGMENTS {
        return Err(error);
    }
    let piece_len = packet.len().div_ceil(count);
    // Equal pieces may need fewer than `count`: 128 of 129 bytes in pieces of 2 are 65 pieces.
    let count = packet.len().div_ceil(piece_len);
    let mut buffer = BytesMut::with_capacity(packet.len() + count * overhead);
    for (index, piece) in packet.chunks(piece_len).enumerate() {
        let last = if index + 1 == count { LAST_BIT } else { 0 };
        buffer.put_slice(prefix);
        buffer.put_u16(packet_id);
        buffer.put_u8(index as u8 | last);
        buffer.put_slice(piece);
        emit(buffer.split().freeze());
    }
    Ok(count)
}

/// One fragment behind its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The sender's number of the packet.
    pub packet_id: u16,
    /// Place in the packet, 0 to 127.
    pub index: u8,
    /// True when nothing comes after it.
    pub last: bool,
    /// The piece, never empty.
    pub bytes: &'a [u8],
}

/// Reads what follows a fragment's prefix; `None` when it is too short to hold a piece.
pub fn decode(body: &[u8]) -> Option<Fragment<'_>> {
    match body {
        [high, low, place, bytes @ ..] if !bytes.is_empty() => Some(Fragment {
            packet_id: u16::from_be_bytes([*high, *low]),
            index: place & !LAST_BIT,
            last: place & LAST_BIT != 0,
            bytes,
        }),
        _ => None,
    }
}
