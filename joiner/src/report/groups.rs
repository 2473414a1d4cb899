//! The programs of the recordings, numbered before the first packet, so that a packet is counted for
//! one without being looked up.

use std::cmp::Reverse;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::connections::owner;
use super::party::Group;
use crate::events::{IdentityId, Recordings};

/// Programs that have a series of their own: 8 MB with all buckets of time.
const MAX_GROUPS: usize = 2048;

/// The programs that have a number, and one number for all others.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    /// By process.
    numbers: Vec<u32>,
}

impl Groups {
    /// Numbers the programs of `recordings`; where they are too many, those with most connections.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        Self::limited(recordings, MAX_GROUPS)
    }

    fn limited(recordings: &Recordings, limit: usize) -> Self {
        let mut found = IndexMap::<Group, u64, FixedState>::default();
        let all = 0..u32::try_from(recordings.identities.len()).unwrap_or(u32::MAX);
        let of: Vec<usize> = all
            .map(|id| {
                let entry = found.entry(Group::of(recordings, IdentityId(id)));
                let index = entry.index();
                entry.or_default();
                index
            })
            .collect();
        for conversation in recordings.conversations.iter(&recordings.lives) {
            if let Some(owner) = owner(&conversation, &recordings.life(conversation.life)) {
                let index = usize::try_from(owner.0).ok().and_then(|at| of.get(at));
                if let Some((_, connections)) = index.and_then(|&at| found.get_index_mut(at)) {
                    *connections += 1;
                }
            }
        }
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by_key(|&at| (Reverse(found[at]), at));
        order.truncate(limit);
        let mut numbers = vec![order.len(); found.len()];
        for (number, &at) in order.iter().enumerate() {
            numbers[at] = number;
        }
        let groups = order.iter().filter_map(|&at| found.get_index(at)).map(|(group, _)| *group);
        let groups = groups.collect();
        let number = |at: usize| u32::try_from(numbers[at]).unwrap_or(u32::MAX);
        Self { groups, numbers: of.into_iter().map(number).collect() }
    }

    /// By their numbers.
    #[must_use]
    pub fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The number of a process's program; one more than the last for all that have none.
    #[inline]
    #[must_use]
    pub fn number(&self, id: IdentityId) -> usize {
        let number = usize::try_from(id.0).ok().and_then(|at| self.numbers.get(at));
        number.map_or(self.groups.len(), |&number| number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{HostId, Identity, TextId};

    #[test]
    fn processes_of_one_name_are_one_program_and_the_rest_has_one_number() {
        let mut recordings = Recordings::default();
        let [a, b] = ["a", "b"].map(|name| recordings.texts.intern(name));
        let none = TextId::NONE;
        for (pid, comm) in [(1, a), (2, b), (3, a)] {
            recordings.identities.push(Identity {
                host: HostId(0),
                proc: pid,
                pid,
                uid: None,
                gid: None,
                ppid: None,
                user: none,
                comm,
                exe: none,
                cmdline: none,
                parent_comm: none,
                parent_exe: none,
                container_id: none,
                container_name: none,
                container_image: none,
                pod: none,
            });
        }
        let numbers = |groups: &Groups| [0, 1, 2].map(|id| groups.number(IdentityId(id)));
        let all = Groups::new(&recordings);
        assert_eq!((all.all().len(), numbers(&all)), (2, [0, 1, 0]));
        let few = Groups::limited(&recordings, 1);
        assert_eq!((few.all().len(), numbers(&few)), (1, [0, 1, 0]));
    }
}
