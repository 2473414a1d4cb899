//! TCP (RFC 9293), UDP (RFC 768), UDP-Lite (RFC 3828) and SCTP (RFC 9260): ports, and for TCP flags
//! and numbers.
//!
//! ```text
//! 0 source port   2 destination port   | TCP: 4 sequence   8 acknowledgement   13 flags
//! ```

use schema::Proto;

use super::{Tcp, Undecoded};

const UDP_LITE: Proto = Proto(136);

/// The ports of a segment or datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) src: u16,
    pub(super) dst: u16,
    pub(super) tcp: Option<Tcp>,
}

#[inline]
pub(super) fn parse(proto: Proto, bytes: &[u8]) -> Result<Ports, Undecoded> {
    if !matches!(proto, Proto::TCP | Proto::UDP | UDP_LITE | Proto::SCTP) {
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
