//! Brings nearer what decisions about many packets will read. With more flows than any cache holds each
//! of these reads waits for the memory; done for many packets at a time, and step by step, they wait
//! together. Nothing is decided here.

use std::hint::black_box;

use schema::FlowKey;

use super::Matcher;
use crate::events::ConversationId;
use crate::index::{Batch, Found};

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Where the conversations of each flow are.
    flows: Batch,
    conversations: Vec<ConversationId>,
}

impl Fetched {
    /// Where the conversations of the flow `key` are, if it was the one at `position` of those that were
    /// read ahead for.
    #[inline]
    pub(crate) fn found(&self, position: usize, key: &FlowKey) -> Option<Option<Found>> {
        self.flows.found_at(position, key)
    }
}

impl Matcher {
    /// Reads ahead for packets of the flows `keys`.
    pub(crate) fn fetch(&self, keys: impl Iterator<Item = FlowKey>, fetched: &mut Fetched) {
        let Fetched { flows, conversations } = fetched;
        self.index.find_all(keys, &self.recordings.conversations, flows);
        let places = || flows.found().iter().flatten();
        conversations.clear();
        for place in places() {
            self.syns.touch(place.first);
            let flow = self.index.flow(*place);
            let firsts = [flow.up.first(), flow.down.first()];
            for id in firsts.into_iter().flatten().map(|entry| entry.conversation) {
                self.recordings.conversations.touch(id);
                conversations.push(id);
            }
        }
        for place in places() {
            black_box(self.syns.attempts_of(place.first).first().map(|attempt| attempt.seq));
        }
        for id in &*conversations {
            black_box(self.own_syns.of(*id));
            self.recordings.lives.touch(self.recordings.conversations.life(*id));
        }
    }
}
