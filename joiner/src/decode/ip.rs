//! IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200).
//!
//! ```text
//! IPv4  0 version|ihl   2 total length   6 flags|fragment offset   9 protocol   12 src   16 dst
//! IPv6  0 version       4 payload length   6 next header   8 src[16]   24 dst[16]   40 payload
//! ```

use schema::{Endpoint, Proto};

use super::Undecoded;

/// The addresses and the payload of an IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) proto: Proto,
    /// IPv4 as IPv4-mapped.
    pub(super) src: [u8; 16],
    /// IPv4 as IPv4-mapped.
    pub(super) dst: [u8; 16],
    /// What follows the headers, as far as it was captured and belongs to the packet.
    pub(super) payload: &'a [u8],
}

/// More fragments, or an offset: all but the "don't fragment" bit and the reserved one.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Extension headers that are looked past: RFC 8200 names six kinds, each at most twice.
const MAX_EXTENSIONS: usize = 12;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

#[inline]
pub(super) fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Undecoded> {
    match bytes.first().ok_or(Undecoded::Truncated)? >> 4 {
        4 => parse_v4(bytes),
        6 => parse_v6(bytes),
        _ => Err(Undecoded::Malformed),
    }
}

#[inline]
fn parse_v4(bytes: &[u8]) -> Result<Datagram<'_>, Undecoded> {
    let header: &[u8; 20] = bytes.first_chunk().ok_or(Undecoded::Truncated)?;
    let length = usize::from(header[0] & 15) * 4;
    if length < 20 {
        return Err(Undecoded::Malformed);
    }
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A total length of 0 is a segment that the network card was to split.
    let end = if total == 0 { bytes.len() } else { total.min(bytes.len()) };
    if total != 0 && total < length {
        return Err(Undecoded::Malformed);
    }
    if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_OFFSET != 0 {
        return Err(Undecoded::NoTransport);
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Ok(Datagram {
        proto: Proto(header[9]),
        src: Endpoint::v4([s0, s1, s2, s3], 0).mapped(),
        dst: Endpoint::v4([d0, d1, d2, d3], 0).mapped(),
        payload: bytes.get(length..end).ok_or(Undecoded::Truncated)?,
    })
}

#[inline]
fn parse_v6(bytes: &[u8]) -> Result<Datagram<'_>, Undecoded> {
    let (header, rest): (&[u8; 40], _) = bytes.split_first_chunk().ok_or(Undecoded::Truncated)?;
    let (_, addresses) = header.split_at(8);
    let (src, dst) = addresses.split_first_chunk().ok_or(Undecoded::Malformed)?;
    let dst = dst.first_chunk().ok_or(Undecoded::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // A payload length of 0 is a jumbogram, or a segment that the network card was to split.
    let end = if length == 0 { rest.len() } else { length.min(rest.len()) };
    let (proto, payload) = skip_extensions(header[6], &rest[..end])?;
    Ok(Datagram { proto: Proto(proto), src: *src, dst: *dst, payload })
}

fn skip_extensions(mut next: u8, mut bytes: &[u8]) -> Result<(u8, &[u8]), Undecoded> {
    for _ in 0..=MAX_EXTENSIONS {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY => |unit: usize| (unit + 1) * 8,
            AUTHENTICATION => |unit: usize| (unit + 2) * 4,
            FRAGMENT => |_| 8,
            _ => return Ok((next, bytes)),
        };
        let &[following, unit, high, low, ..] = bytes else { return Err(Undecoded::Truncated) };
        if next == FRAGMENT && u16::from_be_bytes([high, low]) >> 3 != 0 {
            return Err(Undecoded::NoTransport);
        }
        bytes = bytes.get(length(usize::from(unit))..).ok_or(Undecoded::Truncated)?;
        next = following;
    }
    Err(Undecoded::Malformed)
}
