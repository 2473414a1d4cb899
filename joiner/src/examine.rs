//! First stage of a chunk: every packet is decoded and decided about. Chunks are independent of
//! each other here, and worked on in parallel.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use schema::FiveTuple;
use schema::annotation::Reason;

use crate::attribute::{Matcher, Verdict};
use crate::chunk::{Captured, Chunk, Item};
use crate::decode::decode;
use crate::summary::Counts;

/// What was decided about one packet.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    /// Both ends.
    pub verdict: Verdict,
    /// Names the flow and direction; `None` for a packet without a tuple.
    pub flow: Option<u64>,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
}

/// The decisions about a chunk's packets: one for every item that is a packet, in order.
#[derive(Debug)]
pub struct Examination {
    /// The chunk.
    pub chunk: Chunk,
    /// One per packet.
    pub packets: Vec<Examined>,
    /// What they add up to.
    pub counts: Counts,
}

/// Decides about every packet of `chunk`.
#[must_use]
pub fn examine(chunk: Chunk, matcher: &Matcher) -> Examination {
    let mut packets = Vec::new();
    let mut counts = Counts::default();
    for item in chunk.items() {
        let examined = match (item.captured(), item) {
            (Some(captured), _) => decide(matcher, captured),
            (None, Item::Simple(_)) => unnamed(Reason::NoTime, 0),
            (None, Item::Other(_)) => continue,
            (None, _) => unnamed(Reason::Malformed, 0),
        };
        counts.add(&examined.verdict);
        packets.push(examined);
    }
    Examination { chunk, packets, counts }
}

fn decide(matcher: &Matcher, captured: Captured<'_>) -> Examined {
    let Captured { link, data, time_ns } = captured;
    match decode(link, data) {
        Ok(packet) => Examined {
            verdict: matcher.attribute(&packet, time_ns),
            flow: Some(fingerprint(packet.tuple)),
            time_ns,
        },
        Err(undecoded) => unnamed(undecoded.into(), time_ns),
    }
}

fn unnamed(reason: Reason, time_ns: i64) -> Examined {
    Examined { verdict: Verdict::none(reason), flow: None, time_ns }
}

/// A number for a flow and direction. Two flows with one number (one chance in 2^64 per pair) only
/// make the full form stand once more or once less.
fn fingerprint(tuple: FiveTuple) -> u64 {
    // One seed for ever: the output must not depend on the run.
    FixedState::with_seed(0).hash_one(tuple)
}
