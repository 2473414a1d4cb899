//! The first pass over a capture: collects what later decisions need to know of the whole of it.
//! Which SYN a socket's life began with is known only once the following ones were seen, a fragment
//! may come before the first of its datagram, and what clocks tell of each other shows in all
//! connections together.

use std::collections::BTreeSet;

use schema::FiveTuple;

use crate::attribute::KnownFlows;
use crate::chunk::{Captured, Chunk, Framing};
use crate::clock::Jump;
use crate::decode::plain::glance;
use crate::decode::{FragmentKey, Packet, decode, decode_within};
use crate::extra::outline::Outline;
use crate::index::{BATCH, Batch};
use crate::syn::{Sign, Syn};

/// Jumps back that are kept: a capture of many interfaces may jump with every packet.
const MAX_JUMPS: usize = 1 << 16;
/// First fragments that are kept, some 400 MB; of more than that the later ones are unknown.
const MAX_FRAGMENTS: usize = 4 << 20;
/// Jumps back of less than this are no step of the clock, nanoseconds.
const LEAST_JUMP_NS: i64 = 1_000_000;

/// The first fragment of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// What its other fragments have in common with it.
    pub key: FragmentKey,
    /// When it was seen, nanoseconds since 1970.
    pub time_ns: i64,
    /// Its tuple.
    pub tuple: FiveTuple,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// SYNs of known flows and their answers, and where each stands in the file.
    pub syns: Vec<(Syn, u64)>,
    /// First fragments, and where each stands in the file.
    pub fragments: Vec<(First, u64)>,
    /// Where times jump back.
    pub jumps: Vec<Jump>,
    /// The names of interfaces.
    pub interfaces: BTreeSet<Box<str>>,
    /// The boot ids of the hosts that captured.
    pub boot_ids: BTreeSet<Box<str>>,
    /// What there is beside packets.
    pub outline: Outline,
    /// Time of the first packet, and of the last one.
    span: Option<(i64, i64)>,
    /// Where the first one stands.
    begin: u64,
}

impl Survey {
    /// Time of the first packet, and of the last one; nanoseconds since 1970.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// Adds what was found in the chunk that follows.
    pub fn append(&mut self, mut next: Self) {
        self.syns.append(&mut next.syns);
        let room = MAX_FRAGMENTS.saturating_sub(self.fragments.len());
        next.fragments.truncate(room);
        self.fragments.append(&mut next.fragments);
        if let (Some((_, from_ns)), Some((to_ns, _))) = (self.span, next.span) {
            self.jump(Jump { position: next.begin, from_ns, to_ns });
        }
        for jump in next.jumps {
            self.jump(jump);
        }
        self.interfaces.append(&mut next.interfaces);
        self.boot_ids.append(&mut next.boot_ids);
        self.outline.append(next.outline);
        self.span = match (self.span, next.span) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (None, span) | (span, None) => span,
        };
    }

    fn note_first(&mut self, packet: &Packet, time_ns: i64, position: u64) {
        let Some(id) = packet.first_of else { return };
        let FiveTuple { proto, src, dst } = packet.tuple;
        let key = FragmentKey { src: src.mapped(), dst: dst.mapped(), proto, id };
        self.fragments.push((First { key, time_ns, tuple: packet.tuple }, position));
    }

    fn jump(&mut self, jump: Jump) {
        if jump.from_ns - jump.to_ns >= LEAST_JUMP_NS && self.jumps.len() < MAX_JUMPS {
            self.jumps.push(jump);
        }
    }
}

/// What `chunk` holds of what matters.
#[must_use]
pub fn survey(chunk: &Chunk<'_>, known: &KnownFlows<'_>) -> Survey {
    let mut survey = Survey::default();
    let (mut waiting, mut batch) = (Vec::with_capacity(BATCH), Batch::default());
    if let Framing::Pcapng(section) = chunk.framing {
        let all = (0..section.interfaces.len()).filter_map(|id| section.interfaces.get(id));
        survey.interfaces.extend(all.filter_map(|interface| interface.name.clone()));
    }
    survey.boot_ids.extend(chunk.boot_id().map(Box::from));
    let (mut items, mut outline) = (chunk.places(), Outline::default());
    let mut note = |bytes: &[u8], at: usize| {
        outline.note(bytes, chunk.order(), chunk.boot_id(), chunk.offset() + at as u64);
    };
    while let Some(glimpse) = items.next_packet_past(&mut note) {
        let Some(captured) = glimpse.captured else { continue };
        let position = chunk.offset() + glimpse.at as u64;
        let Captured { link, data, time_ns, .. } = captured;
        match survey.span {
            Some((first, from_ns)) => {
                survey.jump(Jump { position, from_ns, to_ns: time_ns });
                survey.span = Some((first, time_ns));
            }
            None => {
                survey.span = Some((time_ns, time_ns));
                survey.begin = position;
            }
        }
        // Neither the beginning of a connection nor its end, nor a fragment.
        if glance(link, data).is_some_and(|glance| !glance.is_telling()) {
            continue;
        }
        let Ok(packet) = decode(link, data) else { continue };
        survey.note_first(&packet, time_ns, position);
        if packet.around > 0
            && let Ok(outer) = decode_within(link, data, 0)
        {
            survey.note_first(&outer, time_ns, position);
        }
        let Some(tcp) = packet.tcp else { continue };
        if let Some(sign) = Sign::of(&tcp) {
            let syn = Syn { tuple: packet.tuple, time_ns, seq: tcp.seq, sign };
            waiting.push((syn, position));
            if waiting.len() == BATCH {
                known.keep(&mut waiting, &mut batch);
                survey.syns.append(&mut waiting);
            }
        }
    }
    known.keep(&mut waiting, &mut batch);
    survey.syns.append(&mut waiting);
    survey.outline = outline;
    survey
}
