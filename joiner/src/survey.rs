//! The first pass over a capture: collects what later decisions need to know of the whole of it.
//! Which SYN a socket's life began with is known only once the following ones were seen, a fragment
//! may come before the first of its datagram, and what clocks tell of each other shows in all
//! connections together.

use std::collections::BTreeSet;

use schema::FiveTuple;

use crate::attribute::KnownFlows;
use crate::block::{INTERFACE, Step, first, interface};
use crate::chunk::{Captured, Chunk, Framing, Piece};
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
/// Names of interfaces that are kept. They tell which host captured, and no host has as many.
const MAX_NAMES: usize = 1 << 16;
/// Boot ids that are kept: of two no host is the one that captured.
const MAX_BOOT_IDS: usize = 2;
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
    /// The names of interfaces, each once.
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
        // One by one: `append` would go through all that are known for each chunk.
        let room = MAX_NAMES.saturating_sub(self.interfaces.len());
        self.interfaces.extend(next.interfaces.into_iter().take(room));
        let room = MAX_BOOT_IDS.saturating_sub(self.boot_ids.len());
        self.boot_ids.extend(next.boot_ids.into_iter().take(room));
        self.outline.append(next.outline);
        if self.span.is_none() {
            self.begin = next.begin;
        }
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

/// What `piece` holds of what matters.
#[must_use]
pub fn survey_piece(piece: &Piece, known: &KnownFlows<'_>) -> Survey {
    let mut all = Survey::default();
    piece.chunks().for_each(|chunk| all.append(survey(&chunk, known)));
    all
}

/// What `chunk` holds of what matters.
#[must_use]
pub fn survey(chunk: &Chunk<'_>, known: &KnownFlows<'_>) -> Survey {
    let mut survey = Survey::default();
    let (mut waiting, mut batch) = (Vec::with_capacity(BATCH), Batch::default());
    survey.boot_ids.extend(chunk.boot_id().map(Box::from));
    let (mut items, mut outline) = (chunk.places(), Outline::default());
    let (mut names, mut has_options) = (BTreeSet::new(), false);
    let mut note = |bytes: &[u8], at: usize| {
        outline.note(bytes, chunk.order(), chunk.boot_id(), chunk.offset() + at as u64);
        names.extend(described_name(bytes, chunk.framing));
    };
    while let Some(glimpse) = items.next_packet_past(&mut note) {
        let Some(captured) = glimpse.captured else { continue };
        has_options |= !glimpse.is_bare;
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
    outline.has_options = has_options;
    survey.outline = outline;
    survey.interfaces = names;
    survey
}

/// The name of the interface that the block `bytes` describes.
fn described_name(bytes: &[u8], framing: &Framing) -> Option<Box<str>> {
    let Framing::Pcapng(section) = framing else { return None };
    match first(bytes, section.order) {
        Step::Whole(block) if block.kind == INTERFACE && section.is_known => {
            interface::parse(&block, section.order)?.name
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(begin: u64, span: (i64, i64), name: &str) -> Survey {
        let interfaces = BTreeSet::from([name.into()]);
        Survey { span: Some(span), begin, interfaces, ..Survey::default() }
    }

    #[test]
    fn a_jump_between_what_was_put_together_stands_where_the_latter_begins() {
        let late = 2 * LEAST_JUMP_NS;
        let mut piece = Survey::default();
        piece.append(of(500, (0, 0), "b"));
        let mut all = Survey::default();
        all.append(of(100, (late, late), "a"));
        all.append(piece);
        assert_eq!(all.jumps, [Jump { position: 500, from_ns: late, to_ns: 0 }]);
        assert_eq!((all.span, all.begin), (Some((late, 0)), 100));
    }

    #[test]
    fn names_are_kept_once_and_not_without_end() {
        let mut all = Survey::default();
        for number in 0..MAX_NAMES + 10 {
            all.append(of(0, (0, 0), &number.to_string()));
            all.append(of(0, (0, 0), "0"));
        }
        assert_eq!(all.interfaces.len(), MAX_NAMES);
    }
}
