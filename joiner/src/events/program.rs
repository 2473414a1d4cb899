//! Which program a process ran when. A socket's row describes its process as it was then; by the
//! time of a packet it may have become another program. While it is the same one, the row is right:
//! a process may call itself otherwise than it was called when it began.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::identity::{Identity, IdentityId};
use super::text::TextId;

/// The programs of the processes that were seen to become another one, by their number.
#[derive(Debug, Default)]
pub struct Programs(HashMap<u32, History>);

/// What one process was.
#[derive(Debug, Default)]
struct History {
    turns: Vec<Turn>,
    /// In order of the identities.
    described: Vec<Described>,
}

/// From `time_ns` on, until the next turn, the process is best described so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    time_ns: i64,
    is_exec: bool,
    identity: IdentityId,
    /// Which of the process's programs it is, from 0: what it was before the first exec.
    program: usize,
    /// What that program is.
    started_as: StartedAs,
}

/// Rows describe the process so.
#[derive(Clone, Copy, Debug)]
struct Described {
    identity: IdentityId,
    /// Of which program the first such row is.
    first: usize,
    /// And the last.
    last: usize,
    started_as: StartedAs,
}

/// What an exec settles: path and arguments. The name may change afterwards.
type StartedAs = (TextId, TextId);

fn started_as(identity: &Identity) -> StartedAs {
    (identity.exe, identity.cmdline)
}

impl Programs {
    /// `id` became `identity` at `time_ns`.
    pub(super) fn exec(&mut self, time_ns: i64, (id, identity): (IdentityId, &Identity)) {
        self.0.entry(identity.proc).or_default().turns.push(Turn {
            time_ns,
            is_exec: true,
            identity: id,
            program: 0,
            started_as: started_as(identity),
        });
    }

    /// Keeps what is needed: `seen` are, for each identity, the times of the first and of the last row
    /// that describes a process so.
    pub(super) fn finish(&mut self, identities: &[Identity], seen: &[(i64, i64)]) {
        for History { turns, .. } in self.0.values_mut() {
            turns.sort_by_key(|turn| turn.time_ns);
            for (turn, program) in turns.iter_mut().zip(1..) {
                turn.program = program;
            }
        }
        let mut names: HashMap<u32, Vec<(Turn, TextId)>> = HashMap::new();
        for ((id, identity), &(first_ns, last_ns)) in (0..).zip(identities).zip(seen) {
            let Some(history) = self.0.get_mut(&identity.proc) else { continue };
            // A row of the very moment is of the new program.
            let [first, last] = [first_ns, last_ns]
                .map(|time_ns| history.turns.partition_point(|turn| turn.time_ns <= time_ns));
            let (id, started_as) = (IdentityId(id), started_as(identity));
            history.described.push(Described { identity: id, first, last, started_as });
            let (time_ns, is_exec) = (first_ns, false);
            let turn = Turn { time_ns, is_exec, identity: id, program: first, started_as };
            names.entry(identity.proc).or_default().push((turn, identity.comm));
        }
        for (process, history) in &mut self.0 {
            let named = |turn: Turn| (turn, identities[super::position(turn.identity.0)].comm);
            let mut turns = names.remove(process).unwrap_or_default();
            turns.extend(history.turns.drain(..).map(named));
            turns.sort_by_key(|(turn, _)| (turn.time_ns, !turn.is_exec));
            for (turn, name) in turns {
                match history.turns.last() {
                    // All rows between two execs describe one program. Of those only what it calls
                    // itself by now is news.
                    Some(last) if last.program == turn.program => {
                        let is_news = name != TextId::NONE && named(*last).1 != name;
                        if is_news {
                            let started_as = last.started_as;
                            history.turns.push(Turn { started_as, ..turn });
                        }
                    }
                    _ => history.turns.push(turn),
                }
            }
        }
        self.0.retain(|_, History { turns, .. }| match (turns.first(), turns.last()) {
            (Some(first), Some(last)) => first.program != last.program,
            _ => false,
        });
    }

    /// What `identity`, of process number `process`, was at `time_ns`.
    #[must_use]
    pub fn at(&self, process: u32, identity: IdentityId, time_ns: i64) -> IdentityId {
        let Some(History { turns, described }) = self.0.get(&process) else { return identity };
        let begun = turns.partition_point(|turn| turn.time_ns <= time_ns);
        // Before everything it was what it was at first, unless it first came to be known by an
        // exec: then nothing better is known.
        let turn = turns[begun.saturating_sub(1)];
        let found = described.binary_search_by_key(&identity, |described| described.identity);
        let is_of_it = found.is_ok_and(|at| described[at].is_of(&turn));
        if is_of_it { identity } else { turn.identity }
    }

    /// When process number `process` runs the program that it runs at `time_ns`, by the same name.
    #[must_use]
    pub fn same(&self, process: u32, time_ns: i64) -> RangeInclusive<i64> {
        let Some(History { turns, .. }) = self.0.get(&process) else { return i64::MIN..=i64::MAX };
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
        let turns = self.0.values_mut().flat_map(|history| &mut history.turns);
        for turn in turns.filter(|turn| is_its(turn.identity)) {
            turn.time_ns = moved(turn.time_ns);
        }
    }

    /// Whether no process changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Described {
    /// Whether a row of the program that runs from `turn` on says so.
    fn is_of(&self, turn: &Turn) -> bool {
        let Self { first, last, started_as, .. } = *self;
        // Of a program between the two nobody knows whether one of its rows does.
        let is_between = first < turn.program && turn.program < last;
        turn.program == first
            || turn.program == last
            || (is_between && started_as == turn.started_as)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Texts;
    use super::super::host::HostId;
    use super::*;

    fn identity(texts: &mut Texts, proc: u32, comm: &str, exe: &str) -> Identity {
        let none = TextId::NONE;
        Identity {
            host: HostId(0),
            proc,
            pid: 1,
            uid: None,
            gid: None,
            ppid: None,
            user: none,
            comm: texts.intern(comm),
            exe: texts.intern(exe),
            cmdline: none,
            parent_comm: none,
            parent_exe: none,
            container_id: none,
            container_name: none,
            container_image: none,
            pod: none,
        }
    }

    #[test]
    fn a_process_is_what_it_ran_at_the_time() {
        let texts = &mut Texts::default();
        let identities = [(7, "sh"), (7, "curl"), (8, "other")]
            .map(|(proc, comm)| identity(texts, proc, comm, comm));
        let [shell, curl, other] = [0, 1, 2].map(IdentityId);
        let mut programs = Programs::default();
        programs.exec(100, (curl, &identities[1]));
        // A thread's row of the shell, rows of curl, a process that never changed.
        programs.finish(&identities, &[(50, 50), (100, 200), (60, 60)]);
        assert_eq!([0, 50, 99].map(|time| programs.at(7, curl, time)), [shell; 3]);
        assert_eq!([100, 300].map(|time| programs.at(7, shell, time)), [curl; 2]);
        assert_eq!(programs.at(8, other, 500), other);
    }

    #[test]
    fn what_a_process_calls_itself_after_its_exec_is_its_name() {
        let texts = &mut Texts::default();
        // A shell that becomes a wrapper, which becomes an interpreter, which calls itself a worker.
        let named =
            [("sh", "sh"), ("env", "env"), ("python3.11", "python"), ("worker-7", "python")];
        let identities = named.map(|(comm, exe)| identity(texts, 7, comm, exe));
        let [shell, wrapper, python, worker] = [0, 1, 2, 3].map(IdentityId);
        let mut programs = Programs::default();
        programs.exec(200, (python, &identities[2]));
        programs.exec(100, (wrapper, &identities[1]));
        programs.finish(&identities, &[(50, 50), (100, 100), (200, 250), (300, 400)]);
        // As the row of its socket has it, before it was called so and after.
        assert_eq!([200, 299, 300, 500].map(|time| programs.at(7, worker, time)), [worker; 4]);
        assert_eq!([200, 299, 300, 500].map(|time| programs.at(7, python, time)), [python; 4]);
        // A socket of an earlier program goes by what is told of the time.
        assert_eq!(
            [199, 200, 299].map(|time| programs.at(7, shell, time)),
            [wrapper, python, python]
        );
        assert_eq!([300, 500].map(|time| programs.at(7, shell, time)), [worker; 2]);
        assert_eq!([60, 150].map(|time| programs.at(7, worker, time)), [shell, wrapper]);
        // What is constant in between is told to be.
        assert_eq!(programs.same(7, 250), 200..=299);
        assert_eq!(programs.same(7, 300), 300..=i64::MAX);
    }

    #[test]
    fn a_name_that_comes_again_is_that_of_the_program_that_has_it() {
        let texts = &mut Texts::default();
        // A program executes itself, by way of another one, and calls itself a worker each time.
        let named = [("main", "main"), ("worker", "main"), ("sh", "sh")];
        let identities = named.map(|(comm, exe)| identity(texts, 7, comm, exe));
        let [main, worker, shell] = [0, 1, 2].map(IdentityId);
        let mut programs = Programs::default();
        for (time_ns, at) in [(100, 0), (200, 2), (300, 0), (400, 0)] {
            programs.exec(time_ns, (IdentityId(at), &identities[at as usize]));
        }
        programs.finish(&identities, &[(100, 400), (150, 450), (200, 200)]);
        for time_ns in [160, 350, 450] {
            assert_eq!(programs.at(7, worker, time_ns), worker, "{time_ns}");
        }
        assert_eq!(programs.at(7, worker, 250), shell);
        assert_eq!(programs.at(7, main, 250), shell);
    }
}
