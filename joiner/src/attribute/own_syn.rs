//! Which connection attempt of the capture each TCP conversation began with. The life of a socket
//! reaches back to its own SYN, however long ago that was, and never past it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use schema::flow::Way;
use schema::{EventDirection, Kind, Proto};

use crate::events::{ConversationId, Recordings};
use crate::index::{Entry, Index, lanes};
use crate::syn::{Attempt, SynTable};

/// For each conversation the position of its attempt among those of its flow.
#[derive(Debug, Default)]
pub(super) struct OwnSyns(Vec<Option<u32>>);

impl OwnSyns {
    /// Finds the attempts of all conversations.
    pub(super) fn assign(
        recordings: &Recordings,
        index: &Index,
        syns: &SynTable,
        before_ns: i64,
    ) -> Self {
        let mut own = Self(vec![None; recordings.conversations.len()]);
        for conversation in &recordings.conversations {
            let tuple = conversation.tuple;
            if tuple.proto != Proto::TCP {
                continue;
            }
            let (key, way) = tuple.canonical();
            let attempts = syns.attempts(&key);
            let [entries, _] = index.both_ends(&key, way);
            // Once per end: by its first conversation.
            let is_first = entries.first().is_some_and(|first| {
                std::ptr::eq(recordings.conversation(first.conversation), conversation)
            });
            if is_first && !attempts.is_empty() {
                for lane in lanes(entries) {
                    own.assign_lane(recordings, lane, attempts, way, before_ns);
                }
            }
        }
        own
    }

    fn assign_lane(
        &mut self,
        recordings: &Recordings,
        entries: &[Entry],
        attempts: &[Attempt],
        way: Way,
        before_ns: i64,
    ) {
        // Lives that began already, by their end: once over, they have used up their attempts. One
        // that overlaps is of a namespace that is not known, and may share its attempt.
        let mut begun: BinaryHeap<Reverse<(i64, Option<usize>)>> = BinaryHeap::new();
        let mut used = None;
        for entry in entries {
            while let Some(&Reverse((end_ns, own))) = begun.peek() {
                if end_ns >= entry.start_ns {
                    break;
                }
                used = used.max(own);
                begun.pop();
            }
            let life = recordings.life(recordings.conversation(entry.conversation).life);
            let free = used.map_or(0, |used| used + 1);
            let fits = |position: &usize| match life.direction {
                Some(EventDirection::Out) => attempts[*position].opener == way,
                Some(EventDirection::In) => attempts[*position].opener != way,
                None => true,
            };
            // Attempts up to a time, less those that are used up.
            let until = |time_ns: i64| {
                attempts.partition_point(|attempt| attempt.first_ns <= time_ns).max(free)
            };
            let own = if life.opened == Kind::TcpConnect {
                // The row precedes the SYN; the other order is clock slack.
                let earliest = until(entry.start_ns.saturating_sub(before_ns).saturating_sub(1));
                let start = until(entry.start_ns.saturating_sub(1));
                (start..until(entry.end_ns))
                    .find(fits)
                    .or_else(|| (earliest..start).rev().find(fits))
            } else {
                // The row follows the handshake, or the whole of it (a socket that was there
                // already); the other order is clock slack.
                let latest = entry.start_ns.saturating_add(before_ns).min(entry.end_ns);
                let start = until(entry.start_ns);
                (free..start).rev().find(fits).or_else(|| (start..until(latest)).find(fits))
            };
            begun.push(Reverse((entry.end_ns, own)));
            if let Some(slot) = self.slot(entry.conversation) {
                *slot = own.and_then(|position| u32::try_from(position).ok());
            }
        }
    }

    fn slot(&mut self, id: ConversationId) -> Option<&mut Option<u32>> {
        self.0.get_mut(usize::try_from(id.0).ok()?)
    }

    /// The position of the attempt that `id` began with, if the capture has it.
    pub(super) fn of(&self, id: ConversationId) -> Option<usize> {
        let position = *self.0.get(usize::try_from(id.0).ok()?)?;
        usize::try_from(position?).ok()
    }
}
