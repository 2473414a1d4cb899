//! Netlink messages and their attributes (netlink(7)): walked without trusting any length, and
//! put together. All numbers are in the machine's byte order.
//!
//! ```text
//! message    0 length u32   4 type u16   6 flags u16   8 sequence u32   12 port u32   16 payload
//! attribute  0 length u16   2 type u16   4 payload            both padded to a multiple of 4
//! ```

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// `NLM_F_REQUEST`.
pub const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub const ACK: u16 = 4;
/// `NLM_F_DUMP`.
pub const DUMP: u16 = 0x300;

/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// The upper bits of an attribute's type are flags (`NLA_TYPE_MASK`).
const TYPE_MASK: u16 = 0x3fff;

/// Bytes read at once. The kernel makes dump messages of at most 32 KiB.
const READ_BYTES: usize = 64 << 10;

/// Messages a dump may take: no table here comes near, and a loop must end.
const MAX_READS: usize = 1 << 20;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of a datagram; ends at the first whose length can't be right.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_first_chunk::<16>()?;
        let [l0, l1, l2, l3, k0, k1, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: u16::from_ne_bytes([k0, k1]), payload })
    })
}

/// The attributes, type and payload; ends at the first whose length can't be right.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let ([l0, l1, k0, k1], _) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let payload = bytes.get(4..length)?;
        let kind = u16::from_ne_bytes([*k0, *k1]) & TYPE_MASK;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// A request.
#[must_use]
pub fn request(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(16 + payload.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(payload);
    message
}

/// Appends an attribute.
pub fn push_attribute(message: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(payload);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Sends a request on a new socket in the namespace of this thread and hands each message of the
/// answer to `each`.
///
/// # Errors
/// What the system, or the answer, says.
pub fn ask(protocol: isize, request: &[u8], mut each: impl FnMut(Message<'_>)) -> io::Result<()> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    for _ in 0..MAX_READS {
        buffer.clear();
        let (_, sender) = socket.recv_from(&mut buffer, 0)?;
        // Anyone may send to the socket; only the kernel is port 0.
        if sender.port_number() != 0 {
            continue;
        }
        for message in messages(&buffer) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => return error_of(message.payload),
                _ => each(message),
            }
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The result an error message carries; 0 acknowledges.
fn error_of(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk::<4>().map_or(0, |&code| i32::from_ne_bytes(code));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.saturating_neg())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn two_messages() -> Vec<u8> {
        let mut body = vec![];
        push_attribute(&mut body, 3, b"lo\0");
        push_attribute(&mut body, 4, &7_u32.to_ne_bytes());
        let mut bytes = request(16, 0, &body);
        bytes.extend(request(17, DUMP, b"1234"));
        bytes
    }

    #[test]
    fn messages_and_attributes_read_back() {
        let bytes = two_messages();
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found.iter().map(|message| message.kind).collect::<Vec<_>>(), [16, 17]);
        assert_eq!(found[1].payload, b"1234");
        let inner: Vec<_> = attributes(found[0].payload).collect();
        assert_eq!(inner, [(3, &b"lo\0"[..]), (4, &7_u32.to_ne_bytes())]);
    }

    #[test]
    fn cut_input_yields_what_is_whole() {
        let bytes = two_messages();
        let first = messages(&bytes).next().expect("first").payload.len() + 16;
        for length in 0..bytes.len() {
            let count = messages(&bytes[..length]).count();
            assert_eq!(count, usize::from(length >= first), "{length}");
        }
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        for lie in [0_u32, 1, 15, 17, u32::MAX] {
            let mut bytes = request(1, 0, b"");
            bytes[..4].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{lie}");
        }
        for lie in [0_u16, 3, 9, u16::MAX] {
            let mut bytes = vec![];
            push_attribute(&mut bytes, 1, b"abcd");
            bytes[..2].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(attributes(&bytes).count(), 0, "{lie}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for message in messages(&bytes) {
                let _ = attributes(message.payload).count();
            }
            let _ = attributes(&bytes).count();
        }
    }
}
