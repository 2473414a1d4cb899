//! The translations that were told and have not ended. No I/O.

use std::collections::HashMap;

use schema::FiveTuple;

use super::message::Translation;

/// Translations remembered: as many connections as the kernel tracks by default on a host with
/// memory to spare, some 40 MB. Those beyond are told as well, only more often than needed, and
/// that they ended is told only if the kernel says so.
const MAX_STANDING: usize = 262_144;

/// What names an entry within its namespace.
type Key = (u32, u16, FiveTuple);

/// How an entry is sent onwards, and in which dump it was last seen.
type Value = (FiveTuple, u32);

/// The table. Namespaces go by their inodes.
#[derive(Debug, Default)]
pub(super) struct Standing {
    spaces: HashMap<u64, HashMap<Key, Value>>,
    count: usize,
    dump: u32,
    /// Whether something was not remembered for want of room.
    refused: bool,
}

fn key_of(translation: &Translation) -> Key {
    (translation.id, translation.zone, translation.original)
}

fn translation_of((key, (onward, _)): (Key, Value)) -> Translation {
    let (id, zone, original) = key;
    Translation { original, onward, id, zone }
}

impl Standing {
    /// A translation is there; whether that is news.
    pub(super) fn add(&mut self, netns: u64, translation: &Translation) -> bool {
        let (key, value) = (key_of(translation), (translation.onward, self.dump));
        let space = self.spaces.entry(netns).or_default();
        if let Some(known) = space.get_mut(&key) {
            let (onward, _) = std::mem::replace(known, value);
            return onward != translation.onward;
        }
        if self.count < MAX_STANDING {
            space.insert(key, value);
            self.count += 1;
        } else {
            self.refused = true;
        }
        true
    }

    /// A translation ended; whether that is news.
    pub(super) fn end(&mut self, netns: u64, translation: &Translation) -> bool {
        let space = self.spaces.get_mut(&netns);
        let known = space.and_then(|space| space.remove(&key_of(translation))).is_some();
        self.count -= usize::from(known);
        known || self.refused
    }

    /// A dump begins. Those there are will be added until [`Self::end_dump`].
    pub(super) fn begin_dump(&mut self) {
        self.dump = self.dump.wrapping_add(1);
    }

    /// The dump of this namespace is whole: what it did not show has ended.
    pub(super) fn end_dump(&mut self, netns: u64) -> Vec<Translation> {
        let Some(space) = self.spaces.get_mut(&netns) else { return vec![] };
        let dump = self.dump;
        let gone = space.extract_if(|_, (_, seen)| *seen != dump).map(translation_of);
        let gone: Vec<_> = gone.collect();
        self.count -= gone.len();
        gone
    }

    /// The namespace is gone, and with it all it translated.
    pub(super) fn forget(&mut self, netns: u64) -> Vec<Translation> {
        let gone: Vec<_> = self.spaces.remove(&netns).into_iter().flatten().collect();
        self.count -= gone.len();
        gone.into_iter().map(translation_of).collect()
    }

    /// The namespaces of which something is remembered.
    pub(super) fn spaces(&self) -> Vec<u64> {
        self.spaces.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use schema::{Endpoint, Proto};

    use super::*;

    fn translation(id: u32, to: u16) -> Translation {
        let end = |port| Endpoint::v4([10, 0, 0, 1], port);
        let tuple = |port| FiveTuple::new(Proto::TCP, end(1), end(port));
        Translation { original: tuple(2), onward: tuple(to), id, zone: 0 }
    }

    #[test]
    fn each_is_news_once() {
        let mut standing = Standing::default();
        let one = translation(1, 80);
        assert!(standing.add(7, &one));
        assert!(!standing.add(7, &one));
        assert!(standing.add(8, &one), "another namespace");
        assert!(standing.add(7, &translation(1, 81)), "sent elsewhere");
        assert!(standing.end(7, &one));
        assert!(!standing.end(7, &one) && !standing.end(9, &one));
        assert!(standing.add(7, &one));
    }

    #[test]
    fn what_a_dump_does_not_show_has_ended() {
        let mut standing = Standing::default();
        let [stays, goes, elsewhere] = [1, 2, 3].map(|id| translation(id, 80));
        standing.add(7, &stays);
        standing.add(7, &goes);
        standing.add(8, &elsewhere);
        standing.begin_dump();
        assert!(!standing.add(7, &stays));
        assert_eq!(standing.end_dump(7), [goes]);
        standing.begin_dump();
        assert_eq!(standing.end_dump(7), [stays]);
        assert_eq!(standing.forget(8), [elsewhere]);
        assert_eq!((standing.forget(8), standing.count), (vec![], 0));
    }

    #[test]
    fn memory_is_bounded_and_ends_are_told_on() {
        let mut standing = Standing::default();
        for id in 0..MAX_STANDING as u32 + 5 {
            assert!(standing.add(7, &translation(id, 80)));
        }
        assert_eq!(standing.count, MAX_STANDING);
        // Not remembered, so it is told again; and that it ended may be news.
        let beyond = translation(MAX_STANDING as u32, 80);
        assert!(standing.add(7, &beyond) && standing.end(7, &beyond));
    }
}
