//! Which program a process ran when. A socket's row describes its process as it was then; by the
//! time of a packet it may have become another program.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::identity::{Identity, IdentityId};

/// The programs of the processes that were seen to become another one, by their number.
#[derive(Debug, Default)]
pub struct Programs(HashMap<u32, Vec<Turn>>);

/// From `time_ns` on, until the next turn, the process is described so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    time_ns: i64,
    is_exec: bool,
    identity: IdentityId,
}

impl Programs {
    /// `identity` became what it says at `time_ns`.
    pub(super) fn exec(&mut self, process: u32, time_ns: i64, identity: IdentityId) {
        self.0.entry(process).or_default().push(Turn { time_ns, is_exec: true, identity });
    }

    /// Keeps what is needed: `seen` are all (time, identity) of rows that describe a process.
    pub(super) fn finish(&mut self, identities: &[Identity], seen: &[(i64, IdentityId)]) {
        for &(time_ns, identity) in seen {
            let process = identities[super::position(identity.0)].proc;
            if let Some(turns) = self.0.get_mut(&process) {
                turns.push(Turn { time_ns, is_exec: false, identity });
            }
        }
        for turns in self.0.values_mut() {
            // A row of the very moment is of the new program.
            turns.sort_by_key(|turn| (turn.time_ns, !turn.is_exec));
            // Between two execs all rows describe one program; the first, if no exec begins it.
            let mut last_is_described = false;
            turns.retain(|turn| {
                let keep = turn.is_exec || !last_is_described;
                last_is_described = true;
                keep
            });
        }
        self.0.retain(|_, turns| turns.len() > 1);
    }

    /// What `identity`, of process number `process`, was at `time_ns`.
    #[must_use]
    pub fn at(&self, process: u32, identity: IdentityId, time_ns: i64) -> IdentityId {
        let Some(turns) = self.0.get(&process) else { return identity };
        let begun = turns.partition_point(|turn| turn.time_ns <= time_ns);
        // Before everything it was what it was at first, unless it first came to be known by an
        // exec: then nothing better is known.
        turns[begun.saturating_sub(1)].identity
    }

    /// When process number `process` runs the program that it runs at `time_ns`.
    #[must_use]
    pub fn same(&self, process: u32, time_ns: i64) -> RangeInclusive<i64> {
        let Some(turns) = self.0.get(&process) else { return i64::MIN..=i64::MAX };
        let begun = turns.partition_point(|turn| turn.time_ns <= time_ns);
        let first = begun.checked_sub(1).map_or(i64::MIN, |last| turns[last].time_ns);
        let next = turns.get(begun).map_or(i64::MAX, |next| next.time_ns - 1);
        first..=next
    }

    pub(super) fn shift(
        &mut self,
        is_its: impl Fn(IdentityId) -> bool,
        moved: impl Fn(i64) -> i64,
    ) {
        for turn in self.0.values_mut().flatten().filter(|turn| is_its(turn.identity)) {
            turn.time_ns = moved(turn.time_ns);
        }
    }

    /// Whether no process changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::TextId;
    use super::super::host::HostId;
    use super::*;

    #[test]
    fn a_process_is_what_it_ran_at_the_time() {
        let none = TextId::NONE;
        let identity = Identity {
            host: HostId(0),
            proc: 7,
            pid: 1,
            uid: None,
            gid: None,
            ppid: None,
            user: none,
            comm: none,
            exe: none,
            cmdline: none,
            parent_comm: none,
            parent_exe: none,
            container_id: none,
            container_name: none,
            container_image: none,
            pod: none,
        };
        let [shell, curl, other] = [0, 1, 2].map(IdentityId);
        let mut programs = Programs::default();
        programs.exec(7, 100, curl);
        // A thread's row of the shell, rows of curl, a process that never changed.
        let identities = [identity, identity, Identity { proc: 8, ..identity }];
        programs.finish(&identities, &[(50, shell), (100, curl), (200, curl), (60, other)]);
        assert_eq!([0, 50, 99].map(|time| programs.at(7, curl, time)), [shell; 3]);
        assert_eq!([100, 300].map(|time| programs.at(7, shell, time)), [curl; 2]);
        assert_eq!(programs.at(8, other, 500), other);
    }
}
