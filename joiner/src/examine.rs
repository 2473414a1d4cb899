//! First stage of a chunk: every packet is decoded and decided about. Chunks are independent of
//! each other here, and worked on in parallel.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use schema::annotation::Reason;
use schema::{FiveTuple, Proto};

use crate::attribute::{Matcher, Seen, Verdict};
use crate::chunk::{Captured, Chunk, Item};
use crate::clock::CaptureClock;
use crate::decode::{Origin, Packet, Tcp, Undecoded, decode, decode_within, interface_index};
use crate::fragment::Fragments;
use crate::report::collect::{Collected, Collector};
use crate::summary::Counts;

/// What was decided about one packet.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    /// Both ends.
    pub verdict: Verdict,
    /// Names the flow and direction; `None` for a packet without a tuple.
    pub flow: Option<u64>,
    /// From who sent it to who received it.
    pub tuple: Option<FiveTuple>,
    /// Nanoseconds since 1970, by the steady clock of the host that captured.
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
    /// The same in the detail of a report, if there is to be one.
    pub collected: Option<Collected>,
}

/// All that is needed to decide.
#[derive(Debug)]
pub struct Examiner {
    /// The policy.
    pub matcher: Matcher,
    /// What the packets' times mean.
    pub clock: CaptureClock,
    /// Where the ports of fragments are.
    pub fragments: Fragments,
}

impl Examiner {
    /// Decides about every packet of `chunk`; `report` collects what they add up to.
    #[must_use]
    pub fn examine(&self, chunk: Chunk, report: Option<&Collector>) -> Examination {
        let mut packets = Vec::new();
        let mut counts = Counts::default();
        for (item, position) in chunk.items_at() {
            let examined = match (item.captured(), item) {
                (Some(captured), _) => self.decide(captured, chunk.boot_id(), position),
                (None, Item::Simple(_)) => unnamed(Reason::NoTime, 0),
                (None, Item::Other(_)) => continue,
                (None, _) => unnamed(Reason::Malformed, 0),
            };
            counts.add(&examined.verdict);
            packets.push(examined);
        }
        let collected = report.map(|collector| collector.collect(&chunk, &packets));
        Examination { chunk, packets, counts, collected }
    }

    fn decide(&self, captured: Captured<'_>, boot_id: Option<&str>, position: u64) -> Examined {
        let (packet, seen) = self.understand(captured, boot_id, position);
        if self.clock.is_doubtful(captured.time_ns) {
            return unnamed(Reason::Ambiguous, seen.time_ns);
        }
        let packet = match packet {
            Ok(packet) => packet,
            Err(undecoded) => return unnamed(undecoded.into(), seen.time_ns),
        };
        let innermost = self.settle(&packet, &seen);
        if packet.around == 0 || innermost.verdict.is_named() {
            return innermost;
        }
        // Whoever keeps the tunnel sent it, where nobody knows whose packet is in it.
        let mut outer = around(captured, &packet).map(|packet| self.settle(&packet, &seen));
        outer.find(|outer| outer.verdict.is_named()).unwrap_or(innermost)
    }

    fn settle(&self, packet: &Packet, seen: &Seen<'_>) -> Examined {
        let tuple = packet.direction();
        // Recordings have no sockets of other protocols.
        let verdict = match tuple.proto {
            Proto::TCP | Proto::UDP => self.matcher.attribute(packet, seen),
            _ => Verdict::none(Reason::NoTransport),
        };
        let flow = Some(fingerprint(tuple));
        Examined { verdict, flow, tuple: Some(tuple), time_ns: seen.time_ns }
    }

    /// What the packet is, and when and where it was seen.
    pub fn understand<'a>(
        &self,
        captured: Captured<'a>,
        boot_id: Option<&'a str>,
        position: u64,
    ) -> (Result<Packet, Undecoded>, Seen<'a>) {
        let Captured { link, data, time_ns, interface } = captured;
        let time_ns = self.clock.steady(time_ns, position);
        let index = interface_index(link, data);
        let packet = decode(link, data).or_else(|undecoded| match undecoded {
            Undecoded::Fragment(key) => {
                let Some(tuple) = self.fragments.tuple(&key, time_ns) else {
                    return decode_within(link, data, 0);
                };
                let tcp = (tuple.proto == Proto::TCP).then_some(Tcp { flags: 0, seq: 0, ack: 0 });
                Ok(Packet { tcp, origin: Origin::Fragment, ..Packet::of(tuple) })
            }
            _ => Err(undecoded),
        });
        (packet, Seen { time_ns, interface, index, boot_id })
    }
}

/// The packets that `packet` is in, from the innermost outwards.
pub fn around<'a>(captured: Captured<'a>, packet: &Packet) -> impl Iterator<Item = Packet> + 'a {
    let outwards = (0..packet.around).rev();
    outwards.filter_map(move |around| decode_within(captured.link, captured.data, around).ok())
}

fn unnamed(reason: Reason, time_ns: i64) -> Examined {
    Examined { verdict: Verdict::none(reason), flow: None, tuple: None, time_ns }
}

/// A number for a flow and direction. Two flows with one number (one chance in 2^64 per pair) only
/// make the full form stand once more or once less.
fn fingerprint(tuple: FiveTuple) -> u64 {
    // One seed for ever: the output must not depend on the run.
    FixedState::with_seed(0).hash_one(tuple)
}
