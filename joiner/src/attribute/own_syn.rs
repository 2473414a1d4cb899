//! Which connection attempt of the capture each TCP conversation began with. The life of a socket
//! reaches back to its own SYN, however long ago that was, and never past it.

use schema::flow::Way;
use schema::{EventDirection, Kind, Proto};

use crate::events::{ConversationId, Recordings};
use crate::index::{Entry, Index};
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
            // Once per group: by its first conversation.
            let is_first = entries.first().is_some_and(|first| {
                std::ptr::eq(recordings.conversation(first.conversation), conversation)
            });
            if is_first && !attempts.is_empty() {
                own.assign_group(recordings, entries, attempts, way, before_ns);
            }
        }
        own
    }

    fn assign_group(
        &mut self,
        recordings: &Recordings,
        entries: &[Entry],
        attempts: &[Attempt],
        way: Way,
        before_ns: i64,
    ) {
        for (i, entry) in entries.iter().enumerate() {
            // A life that was over when this one began has used up its attempt; one that overlaps
            // lives in another namespace and may share it.
            let used = entries[..i]
                .iter()
                .filter(|earlier| earlier.end_ns < entry.start_ns)
                .filter_map(|earlier| self.of(earlier.conversation))
                .max();
            let conversation = recordings.conversation(entry.conversation);
            let life = recordings.life(conversation.life);
            let fits = |(position, attempt): &(usize, &Attempt)| {
                used.is_none_or(|used| *position > used)
                    && match life.direction {
                        Some(EventDirection::Out) => attempt.opener == way,
                        Some(EventDirection::In) => attempt.opener != way,
                        None => true,
                    }
            };
            let mut fitting = attempts.iter().enumerate().filter(fits);
            let earliest = entry.start_ns.saturating_sub(before_ns);
            let own = if life.opened == Kind::TcpConnect {
                // The row precedes the SYN; the other order is clock slack.
                let mut before = None;
                let mut after = None;
                for (position, attempt) in fitting {
                    if attempt.first_ns > entry.end_ns {
                        break;
                    }
                    if attempt.first_ns >= entry.start_ns {
                        after = Some(position);
                        break;
                    }
                    if attempt.first_ns >= earliest {
                        before = Some(position);
                    }
                }
                after.or(before)
            } else {
                // The row follows the handshake, or the whole of it (a socket that was there
                // already); the other order is clock slack.
                let latest = entry.start_ns.saturating_add(before_ns).min(entry.end_ns);
                let before = fitting
                    .clone()
                    .take_while(|(_, attempt)| attempt.first_ns <= entry.start_ns)
                    .last();
                before
                    .or_else(|| fitting.find(|(_, attempt)| attempt.first_ns <= latest))
                    .map(|(position, _)| position)
            };
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
