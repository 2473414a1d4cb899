//! TCP (RFC 9293) and UDP (RFC 768): ports, and for TCP flags and numbers.
//!
//! ```text
//! 0 source port   2 destination port   | TCP: 4 sequence   8 acknowledgement   13 flags
//! ```

use schema::Proto;

use super::{Tcp, Undecoded};

/// The ports of a segment or datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) src: u16,
    pub(super) dst: u16,
    pub(super) tcp: Option<Tcp>,
}

#[inline]
pub(super) fn parse(proto: Proto, bytes: &[u8]) -> Result<Ports, Undecoded> {
    if proto != Proto::TCP && proto != Proto::UDP {
        return Err(Undecoded::NoTransport);
    }
    let &[s0, s1, d0, d1, ref rest @ ..] = bytes else { return Err(Undecoded::Truncated) };
    let tcp = match rest.first_chunk() {
        Some(&[q0, q1, q2, q3, a0, a1, a2, a3, _, flags]) if proto == Proto::TCP => Some(Tcp {
            flags,
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
        }),
        _ => None,
    };
    Ok(Ports { src: u16::from_be_bytes([s0, s1]), dst: u16::from_be_bytes([d0, d1]), tcp })
}
