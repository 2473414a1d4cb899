//! Brings nearer what decisions about many packets will read. With more flows than any cache holds each
//! of these reads waits for the memory; done for many packets at a time, and step by step, they wait
//! together. Nothing is decided here.

use std::hint::black_box;

use schema::FlowKey;

use super::Matcher;
use crate::events::{ConversationId, LifeId};
use crate::index::Found;

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    keys: Vec<(FlowKey, u64)>,
    /// Where the conversations of each are.
    found: Vec<Option<Found>>,
    conversations: Vec<ConversationId>,
    lives: Vec<LifeId>,
}

impl Fetched {
    /// Where the conversations of the flow `key` are, if it was the one at `position` of those that were
    /// read ahead for.
    #[inline]
    pub(crate) fn found(&self, position: usize, key: &FlowKey) -> Option<Option<Found>> {
        let is_it = self.keys.get(position).is_some_and(|(known, _)| known == key);
        is_it.then(|| self.found[position])
    }
}

impl Matcher {
    /// Reads ahead for packets of the flows `keys`.
    pub(crate) fn fetch(&self, keys: impl Iterator<Item = FlowKey>, fetched: &mut Fetched) {
        let Fetched { keys: hashed, found, conversations, lives } = fetched;
        hashed.clear();
        hashed.extend(keys.map(|key| (key, self.index.hash(&key))));
        for (_, hash) in &*hashed {
            self.index.touch(*hash);
        }
        found.clear();
        let known = &self.recordings.conversations;
        found.extend(hashed.iter().map(|(key, hash)| self.index.find(*hash, key, known)));
        for place in found.iter().flatten() {
            self.syns.touch(place.first);
        }
        conversations.clear();
        for place in found.iter().flatten() {
            black_box(self.syns.attempts_of(place.first).first().map(|attempt| attempt.seq));
            let flow = self.index.flow(*place);
            let firsts = [flow.up.first(), flow.down.first()];
            conversations.extend(firsts.into_iter().flatten().map(|entry| entry.conversation));
        }
        lives.clear();
        for id in &*conversations {
            black_box(self.own_syns.of(*id));
            lives.push(self.recordings.conversation(*id).life);
        }
        for id in &*lives {
            black_box(self.recordings.life(*id).owner);
        }
    }
}
