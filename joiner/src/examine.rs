//! First stage of a chunk: every packet is decoded and decided about. Chunks are independent of
//! each other here, and worked on in parallel.
//!
//! ```text
//! decode a batch ─► touch the memo ─► known: done; others: decide, and keep in mind for how long it holds
//! ```

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use schema::annotation::Reason;
use schema::annotation::option::ByteOrder;
use schema::flow::Way;
use schema::{FiveTuple, FlowKey, Proto};

use crate::attribute::{Fetched, Matcher, Seen, Span, Verdict};
use crate::chunk::{Captured, Chunk, Item, Items};
use crate::clock::CaptureClock;
use crate::config::Style;
use crate::decode::plain::{PlainTuple, glance};
use crate::decode::{Origin, Packet, Tcp, Undecoded, decode, decode_within, interface_index};
use crate::fragment::Fragments;
use crate::index::Found;
use crate::label::Labels;
use crate::mark::{Decisions, Mark};
use crate::memo::{Known, Memo, Place};
use crate::render::Renderer;

/// Packets that are looked up at the same time: as many as a processor waits for at once, and some
/// more.
const BATCH: usize = 32;

/// What was decided about one packet.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    /// Both ends.
    pub verdict: Verdict,
    /// Number of the flow and direction; `None` for a packet without a tuple.
    pub flow: Option<u64>,
    /// From who sent it to who received it.
    pub tuple: Option<FiveTuple>,
    /// Nanoseconds since 1970, by the steady clock of the host that captured.
    pub time_ns: i64,
}

/// What one worker keeps in mind.
#[derive(Debug)]
pub(crate) struct Memory<'a> {
    memo: Memo,
    pub(crate) labels: Labels<'a>,
    waiting: Vec<Waiting>,
    fetched: Fetched,
}

impl<'a> Memory<'a> {
    /// Nothing yet; at most `places` flows at a time.
    pub(crate) fn new(matcher: &'a Matcher, style: Style, places: usize) -> Self {
        let labels = Labels::new(Renderer::new(matcher.recordings()), style);
        Self {
            memo: Memo::new(places),
            labels,
            waiting: Vec::with_capacity(BATCH),
            fetched: Fetched::default(),
        }
    }

    /// Keeps in mind what holds of the packets the other way, too: both ends are the same.
    fn keep_reversed(
        &mut self,
        tuple: &PlainTuple,
        span: &Span,
        examined: &Examined,
        order: ByteOrder,
    ) {
        // The number of what no socket has is another one the other way.
        let Some(flow) = examined.flow.filter(|flow| flow & Mark::STRANGER == 0) else { return };
        let verdict = examined.verdict.reversed();
        let (said, label) = (verdict.gist(), self.labels.of(&verdict, order));
        let known = Known { flow: flow ^ 1, said, label, is_big: order == ByteOrder::Big };
        let tuple = tuple.reversed();
        self.memo.keep(Place(tuple.hash()), &tuple, span, known);
    }

    /// Makes room, where all that it remembers becomes too much.
    pub(crate) fn tidy(&mut self) {
        if self.labels.are_enough() {
            self.labels.clear();
            self.memo.clear();
        }
    }
}

/// A packet that was decoded and is to be decided about.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Position among the chunk's packets.
    position: u32,
    /// Its tuple, where that is seen at once.
    tuple: Option<PlainTuple>,
    /// Where to look for it, and its time, if what was decided of others may hold for it.
    plain: Option<(Place, i64)>,
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
    /// Decides about every packet of `chunk`, each by itself.
    pub(crate) fn each(&self, chunk: &Chunk<'_>) -> Vec<Examined> {
        let packets = chunk.items_at().filter(|(item, _)| item.is_packet());
        packets.map(|(item, position)| self.one(&item, chunk.boot_id(), position)).collect()
    }

    /// Marks what was decided about each of `packets`, which are all of `chunk`.
    pub(crate) fn mark_each(
        &self,
        chunk: &Chunk<'_>,
        packets: &[Examined],
        memory: &mut Memory<'_>,
        decisions: &mut Decisions,
    ) {
        let mut items = chunk.places();
        for (position, examined) in (0..).zip(packets) {
            let Some(glimpse) = items.next_packet() else { break };
            let mut mark = Mark::new(&glimpse);
            mark.decide(examined, &mut memory.labels, chunk.order());
            memory.labels.count(mark.label);
            decisions.marks.push(mark);
            decisions.own.push((position, *examined));
        }
    }

    /// Decides about every packet of `chunk`.
    pub(crate) fn examine(
        &self,
        chunk: &Chunk<'_>,
        memory: &mut Memory<'_>,
        decisions: &mut Decisions,
    ) {
        let mut items = chunk.places();
        let is_big = chunk.order() == ByteOrder::Big;
        while self.gather(&mut items, chunk.offset(), memory, &mut decisions.marks) {
            for waiting in &memory.waiting {
                if let Some((place, _)) = waiting.plain {
                    memory.memo.touch(place);
                }
            }
            memory.waiting.retain(|waiting| {
                let known =
                    waiting.tuple.zip(waiting.plain).and_then(|(tuple, (place, time_ns))| {
                        memory
                            .memo
                            .find(place, &tuple, time_ns)
                            .filter(|known| known.is_big == is_big)
                    });
                if let Some(Known { flow, said, label, .. }) = known {
                    memory.labels.count(label);
                    let mark = &mut decisions.marks[waiting.position as usize];
                    (mark.flow, mark.said, mark.label) = (flow, said, label);
                }
                known.is_none()
            });
            self.decide_waiting(chunk, memory, decisions);
        }
    }

    /// Decodes the next packets of a chunk that begins at byte `offset` of the file; `false` at its
    /// end.
    #[inline]
    fn gather(
        &self,
        items: &mut Items<'_>,
        offset: u64,
        memory: &mut Memory<'_>,
        marks: &mut Vec<Mark>,
    ) -> bool {
        memory.waiting.clear();
        while memory.waiting.len() < BATCH {
            let Some(glimpse) = items.next_packet() else { break };
            let captured = glimpse.captured;
            let seen = captured.and_then(|captured| glance(captured.link, captured.data));
            let plain = captured.zip(seen).and_then(|(captured, seen)| {
                if !seen.is_plain() || self.clock.is_doubtful(captured.time_ns) {
                    return None;
                }
                let time_ns = self.clock.steady(captured.time_ns, offset + glimpse.at as u64);
                Some((Place(seen.tuple.hash()), time_ns))
            });
            let position = u32::try_from(marks.len()).unwrap_or(u32::MAX);
            marks.push(Mark::new(&glimpse));
            let tuple = seen.map(|seen| seen.tuple);
            memory.waiting.push(Waiting { position, tuple, plain });
        }
        !memory.waiting.is_empty()
    }

    /// Decides about the packets that wait, and keeps in mind what holds for more.
    fn decide_waiting(
        &self,
        chunk: &Chunk<'_>,
        memory: &mut Memory<'_>,
        decisions: &mut Decisions,
    ) {
        let order = chunk.order();
        let is_big = order == ByteOrder::Big;
        let tuples = memory.waiting.iter().map(|waiting| waiting.tuple.unwrap_or_default());
        self.matcher.fetch(tuples.map(|tuple| tuple.tuple().canonical().0), &mut memory.fetched);
        for index in 0..memory.waiting.len() {
            let Waiting { position, tuple, plain } = memory.waiting[index];
            let mark = &mut decisions.marks[position as usize];
            let Some(item) = chunk.item(mark.at as usize) else { continue };
            let find = |key: &FlowKey| {
                let fetched = memory.fetched.found(index, key);
                fetched.unwrap_or_else(|| self.matcher.find(key))
            };
            let at = chunk.offset() + u64::from(mark.at);
            let examined = self.one_at(find, &item, chunk.boot_id(), at);
            mark.decide(&examined, &mut memory.labels, order);
            memory.labels.count(mark.label);
            if let Some((tuple, (place, time_ns))) = tuple.zip(plain) {
                let (key, way) = tuple.tuple().canonical();
                if let Some(span) =
                    self.matcher.settled((&key, way), find(&key), time_ns, &examined.verdict)
                {
                    let Mark { flow, said, label, .. } = *mark;
                    memory.memo.keep(place, &tuple, &span, Known { flow, said, label, is_big });
                    memory.keep_reversed(&tuple, &span, &examined, order);
                }
            }
            decisions.own.push((position, examined));
        }
    }

    /// Decides about one packet, which stands at byte `position` of the file.
    pub(crate) fn one(&self, item: &Item<'_>, boot_id: Option<&str>, position: u64) -> Examined {
        self.one_at(|key| self.matcher.find(key), item, boot_id, position)
    }

    /// The same; `place` tells where the conversations of a flow are.
    fn one_at(
        &self,
        place: impl Fn(&FlowKey) -> Option<Found>,
        item: &Item<'_>,
        boot_id: Option<&str>,
        position: u64,
    ) -> Examined {
        match (item.captured(), item) {
            (Some(captured), _) => self.decide(&place, captured, boot_id, position),
            (None, Item::Simple(_)) => unnamed(Reason::NoTime, 0),
            (None, _) => unnamed(Reason::Malformed, 0),
        }
    }

    fn decide(
        &self,
        place: &impl Fn(&FlowKey) -> Option<Found>,
        captured: Captured<'_>,
        boot_id: Option<&str>,
        position: u64,
    ) -> Examined {
        let (packet, seen) = self.understand(captured, boot_id, position);
        if self.clock.is_doubtful(captured.time_ns) {
            return unnamed(Reason::Ambiguous, seen.time_ns);
        }
        let packet = match packet {
            Ok(packet) => packet,
            Err(undecoded) => return unnamed(undecoded.into(), seen.time_ns),
        };
        let innermost = self.settle(place, &packet, &seen);
        if packet.around == 0 || innermost.verdict.is_named() {
            return innermost;
        }
        // Whoever keeps the tunnel sent it, where nobody knows whose packet is in it.
        let mut outer = around(captured, &packet).map(|packet| self.settle(place, &packet, &seen));
        outer.find(|outer| outer.verdict.is_named()).unwrap_or(innermost)
    }

    fn settle(
        &self,
        place: &impl Fn(&FlowKey) -> Option<Found>,
        packet: &Packet,
        seen: &Seen<'_>,
    ) -> Examined {
        let tuple = packet.direction();
        let (key, way) = tuple.canonical();
        let place = place(&key);
        // Recordings have no sockets of other protocols.
        let verdict = match tuple.proto {
            Proto::TCP | Proto::UDP => self.matcher.attribute_at(place, packet, seen),
            _ => Verdict::none(Reason::NoTransport),
        };
        let flow = match place {
            Some(place) => u64::from(place.first) << 1 | u64::from(way == Way::Down),
            None => fingerprint(&key, way) & !1 | Mark::STRANGER,
        };
        Examined { verdict, flow: Some(flow), tuple: Some(tuple), time_ns: seen.time_ns }
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

/// A number for a flow and direction.
#[inline]
fn fingerprint(key: &FlowKey, way: Way) -> u64 {
    // One seed for ever: the output must not depend on the run.
    let hash = FixedState::with_seed(0).hash_one(key);
    match way {
        Way::Up => hash,
        Way::Down => hash.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15,
    }
}
