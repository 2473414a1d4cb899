//! A socket filter (classic BPF) by which the kernel itself drops what is told of plain
//! connections: only what translates waits for the thread and wakes it. It drops what is certainly
//! plain, and lets all else pass to be looked at.
//!
//! Ports or not, IPv4 or IPv6: a tuple's attributes always come in the same order, so its length
//! says where everything is. Offsets from the message's beginning:
//!
//! ```text
//!         original  src  dst  sport  dport    reply  src  dst  sport  dport
//! IPv4          20   32   40     60     68       72   84   92    112    120
//! IPv6          20   32   52     84     92       96  108  128    160    168
//! ```

use libc::sock_filter;

// include/uapi/linux/filter.h: class, size and mode.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const COPY_TO_X: u16 = 0x07;
const JUMP_IF_K: u16 = 0x15;
const JUMP_IF_X: u16 = 0x1d;
const RETURN: u16 = 0x06;

/// Where the first attribute is: `CTA_TUPLE_ORIG`.
const ORIGINAL: u32 = 20;
/// `NLA_F_NESTED` and `CTA_TUPLE_ORIG`.
const ORIGINAL_KIND: u16 = 0x8001;
/// `NLA_F_NESTED` and `CTA_TUPLE_REPLY`.
const REPLY_KIND: u16 = 0x8002;

/// A tuple with ports: its length, and where in it source and destination address and port are.
struct Layout {
    length: u16,
    src: u32,
    dst: u32,
    src_port: u32,
    dst_port: u32,
    /// Words of an address.
    words: u32,
}

const LAYOUTS: [Layout; 2] = [
    Layout { length: 52, src: 12, dst: 20, src_port: 40, dst_port: 48, words: 1 },
    Layout { length: 76, src: 12, dst: 32, src_port: 64, dst_port: 72, words: 4 },
];

const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// An attribute's first word as the filter loads it: from network byte order, whichever the
/// machine has.
fn header(length: u16, kind: u16) -> u32 {
    let [l0, l1] = length.to_ne_bytes();
    let [k0, k1] = kind.to_ne_bytes();
    u32::from_be_bytes([l0, l1, k0, k1])
}

impl Layout {
    /// What says whether both ways of this layout are each other's reverse.
    fn program(&self) -> Vec<sock_filter> {
        let reply = ORIGINAL + u32::from(self.length);
        let mut pairs = vec![];
        for word in (0..self.words).map(|word| 4 * word) {
            pairs.push((LOAD_WORD, self.src + word, self.dst + word));
            pairs.push((LOAD_WORD, self.dst + word, self.src + word));
        }
        pairs.push((LOAD_HALF, self.src_port, self.dst_port));
        pairs.push((LOAD_HALF, self.dst_port, self.src_port));
        let mut program =
            vec![step(LOAD_WORD, reply), step(JUMP_IF_K, header(self.length, REPLY_KIND))];
        for (load, of_original, of_reply) in pairs {
            program.extend([
                step(load, ORIGINAL + of_original),
                step(COPY_TO_X, 0),
                step(load, reply + of_reply),
                step(JUMP_IF_X, 0),
            ]);
        }
        program.extend([step(RETURN, 0), step(RETURN, u32::MAX)]);
        // What differs goes to the last step.
        let last = program.len() - 1;
        for (at, step) in program.iter_mut().enumerate() {
            if [JUMP_IF_K, JUMP_IF_X].contains(&step.code) {
                step.jf = distance(at, last);
            }
        }
        program
    }
}

/// Steps that a jump passes over. Programs here have some sixty.
fn distance(from: usize, to: usize) -> u8 {
    u8::try_from(to - from - 1).unwrap_or(u8::MAX)
}

/// The whole filter.
pub(super) fn program() -> Vec<sock_filter> {
    let mut program = vec![step(LOAD_WORD, ORIGINAL)];
    for layout in &LAYOUTS {
        let block = layout.program();
        let mut choice = step(JUMP_IF_K, header(layout.length, ORIGINAL_KIND));
        choice.jf = distance(0, block.len() + 1);
        program.push(choice);
        program.extend(block);
    }
    program.push(step(RETURN, u32::MAX));
    program
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd as _, unix::net::UnixDatagram};

    use super::super::{
        events::attach_filter,
        message::tests::{Way, entry, plain, published},
    };

    /// Whether the kernel's own filter lets the message pass.
    fn passes(message: &[u8]) -> bool {
        let (here, there) = UnixDatagram::pair().expect("sockets");
        attach_filter(there.as_fd()).expect("a filter the kernel takes");
        there.set_nonblocking(true).expect("a socket");
        here.send(message).expect("room");
        there.recv(&mut [0; 1024]).is_ok()
    }

    #[test]
    fn plain_connections_are_dropped_and_translations_pass() {
        for ended in [false, true] {
            assert!(!passes(&entry(ended, &plain(), None)));
            // The zone of both directions comes behind the tuples.
            assert!(!passes(&entry(ended, &plain(), Some(3))));
            assert!(passes(&entry(ended, &published(), None)));
            assert!(passes(&entry(ended, &published(), Some(3))));
        }
    }

    /// Any one of the eight numbers that differs, of both families.
    #[test]
    fn whatever_differs_passes() {
        for length in [4, 16] {
            let (mut a, mut b): (Vec<u8>, Vec<u8>) = (vec![1; length], vec![2; length]);
            a[length - 1] = 3;
            b[length - 1] = 4;
            let ways = |src: &[u8], dst: &[u8], sport, dport| {
                let ways = [
                    Way { src: &a, dst: &b, proto: 17, ports: (10, 20) },
                    Way { src, dst, proto: 17, ports: (sport, dport) },
                ];
                entry(false, &ways, None)
            };
            assert!(!passes(&ways(&b, &a, 20, 10)));
            assert!(passes(&ways(&b, &a, 21, 10)));
            assert!(passes(&ways(&b, &a, 20, 11)));
            for at in 0..length {
                let mut other = b.clone();
                other[at] ^= 0x80;
                assert!(passes(&ways(&other, &a, 20, 10)), "{at}");
                let mut other = a.clone();
                other[at] ^= 0x80;
                assert!(passes(&ways(&b, &other, 20, 10)), "{at}");
            }
        }
    }

    #[test]
    fn what_is_of_another_layout_is_not_judged() {
        let echo = [
            Way { src: &[10, 0, 0, 1], dst: &[10, 0, 0, 2], proto: 1, ports: (5, 5) },
            Way { src: &[10, 0, 0, 2], dst: &[10, 0, 0, 1], proto: 1, ports: (5, 5) },
        ];
        assert!(passes(&entry(false, &echo, None)));
        assert!(passes(&[0xff; 64]));
    }
}
