//! IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200).
//!
//! ```text
//! IPv4  0 version|ihl   2 total length   6 flags|fragment offset   9 protocol   12 src   16 dst
//! IPv6  0 version       4 payload length   6 next header   8 src[16]   24 dst[16]   40 payload
//! ```

use schema::{Endpoint, FiveTuple, Proto};

use super::{FragmentKey, Undecoded};

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
    /// Its identification, if it is the first of several fragments.
    pub(super) first_of: Option<u32>,
}

impl Datagram<'_> {
    pub(super) fn tuple(&self, src_port: u16, dst_port: u16) -> FiveTuple {
        let src = Endpoint::v6(self.src, src_port);
        FiveTuple::new(self.proto, src, Endpoint::v6(self.dst, dst_port))
    }
}

/// The fragment offset (IPv4), in units of 8 bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// More fragments follow (IPv4).
const MORE_FRAGMENTS: u16 = 0x2000;

/// Extension headers that are looked past: RFC 8200 names six kinds, each at most twice.
const MAX_EXTENSIONS: usize = 12;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

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
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let proto = Proto(header[9]);
    let src = Endpoint::v4([s0, s1, s2, s3], 0).mapped();
    let dst = Endpoint::v4([d0, d1, d2, d3], 0).mapped();
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
    if fragment & FRAGMENT_OFFSET != 0 {
        return Err(Undecoded::Fragment(FragmentKey { src, dst, proto, id }));
    }
    let first_of = (fragment & MORE_FRAGMENTS != 0).then_some(id);
    let payload = bytes.get(length..end).ok_or(Undecoded::Truncated)?;
    let mut datagram = Datagram { proto, src, dst, payload, first_of };
    // The one extension that IPv4 has, too.
    if proto.0 == AUTHENTICATION {
        skip_extensions(&mut datagram)?;
    }
    Ok(datagram)
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
    let mut datagram = Datagram {
        proto: Proto(header[6]),
        src: *src,
        dst: *dst,
        payload: &rest[..end],
        first_of: None,
    };
    skip_extensions(&mut datagram)?;
    Ok(datagram)
}

fn skip_extensions(datagram: &mut Datagram<'_>) -> Result<(), Undecoded> {
    for _ in 0..=MAX_EXTENSIONS {
        let next = datagram.proto.0;
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
                |unit: usize| (unit + 1) * 8
            }
            AUTHENTICATION => |unit: usize| (unit + 2) * 4,
            FRAGMENT => |_| 8,
            _ => return Ok(()),
        };
        let bytes = datagram.payload;
        let &[following, unit, high, low, ref rest @ ..] = bytes else {
            return Err(Undecoded::Truncated);
        };
        if next == FRAGMENT {
            let id = u32::from_be_bytes(*rest.first_chunk().ok_or(Undecoded::Truncated)?);
            let fragment = u16::from_be_bytes([high, low]);
            if fragment >> 3 != 0 {
                let (src, dst, proto) = (datagram.src, datagram.dst, Proto(following));
                return Err(Undecoded::Fragment(FragmentKey { src, dst, proto, id }));
            }
            // An atomic fragment is a whole packet.
            datagram.first_of = (fragment & 1 != 0).then_some(id);
        }
        datagram.payload = bytes.get(length(usize::from(unit))..).ok_or(Undecoded::Truncated)?;
        datagram.proto = Proto(following);
    }
    Err(Undecoded::Malformed)
}
