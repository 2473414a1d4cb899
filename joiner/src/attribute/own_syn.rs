//! Which connection attempt of the capture each TCP conversation began with. The life of a socket
//! reaches back to its own SYN, however long ago that was, and never past it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::{HashMap, HashSet};
use schema::flow::Way;
use schema::{EventDirection, FlowKey, Kind};

use crate::events::{ConversationId, Recordings};
use crate::index::{Entry, Flow, Index, LaneId, lanes};
use crate::syn::{Attempt, SynTable};

/// By how much rows and packets may differ in time, nanoseconds, where clocks are one.
const SLACK_NS: i64 = 200_000_000;

/// Within what time after a SYN, or its answer, a connection is accepted, nanoseconds: a round trip, or
/// one repetition later, as a handshake that is not answered is repeated after a second.
const REPEATED_NS: i64 = 1_200_000_000;

/// How soon after the row of a connect its SYN is sent, nanoseconds, where nothing else tells.
const AT_ONCE_NS: i64 = 500_000;

/// Instead of the position of an attempt: the capture lacks it.
const NO_SYN: u32 = u32::MAX;

/// For each conversation the position of its attempt among those of its flow.
#[derive(Debug, Default)]
pub(super) struct OwnSyns {
    positions: Vec<u32>,
    /// Conversations whose close was not recorded, and that are over, as a new one of the same
    /// tuple shows.
    superseded: HashMap<ConversationId, Superseded>,
    /// Of flows that several namespaces have, whose each attempt is.
    claims: HashMap<(FlowKey, u32), Option<LaneId>>,
    /// Those flows.
    shared: HashSet<FlowKey>,
}

/// In which namespace a connection was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// In the one that was asked for.
    Ours,
    /// In another one that has the same tuple.
    Anothers,
    /// In any of those.
    Unknown,
}

/// How a new connection took the tuple of an old one.
#[derive(Clone, Copy, Debug)]
struct Superseded {
    /// Its SYN.
    syn_ns: i64,
    /// From then on the old socket is gone: before, it may still have answered the SYN.
    from_ns: i64,
}

impl OwnSyns {
    /// Finds the attempts of all conversations.
    pub(super) fn assign(
        recordings: &Recordings,
        index: &Index,
        syns: &SynTable,
        before_ns: i64,
    ) -> Self {
        let mut own = Self::default();
        if syns.is_empty() {
            return own;
        }
        own.positions = vec![NO_SYN; recordings.conversations.len()];
        for Flow { number, up, down } in index.flows() {
            for (entries, way) in [(up, Way::Up), (down, Way::Down)] {
                let Some(first) = entries.first() else { continue };
                let attempts = syns.attempts_of(number);
                if attempts.is_empty() {
                    continue;
                }
                // Other namespaces with the address may have had connections that no row tells of.
                let is_shared = || {
                    let conversation = recordings.conversation(first.conversation);
                    let local = conversation.tuple.src;
                    let namespace = recordings.life(conversation.life).namespace;
                    !local.is_loopback() && recordings.places.is_shared(namespace, local)
                };
                let is_alone =
                    lanes(entries).count() == 1 && !(first.is_contested() && is_shared());
                for lane in lanes(entries) {
                    own.assign_lane(recordings, lane, attempts, (way, is_alone), before_ns);
                }
                // Of several namespaces each has attempts of its own.
                if is_alone {
                    own.supersede(recordings, entries, attempts, way);
                } else {
                    let tuple = recordings.conversation(first.conversation).tuple;
                    own.claim(tuple.canonical().0, entries);
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
        (way, is_alone): (Way, bool),
        before_ns: i64,
    ) {
        // Lives that began already, by their end: once over, they have used up their attempts. One
        // that overlaps is of a namespace that is not known, and may share its attempt.
        let mut begun: BinaryHeap<Reverse<(i64, Option<usize>)>> = BinaryHeap::new();
        let mut used = None;
        for (n, entry) in entries.iter().enumerate() {
            while let Some(&Reverse((end_ns, own))) = begun.peek() {
                if end_ns >= entry.start_ns {
                    break;
                }
                used = used.max(own);
                begun.pop();
            }
            let life = recordings.life_of(entry.conversation);
            let free = used.map_or(0, |used| used + 1);
            let host = recordings.host(life.host);
            // Its entry ends where rows were lost; its SYN may still follow, at once.
            let next_ns = entries.get(n + 1).map_or(i64::MAX, |next| next.start_ns - 1);
            let open_ns = life.latency_us.map_or(before_ns, |micros| i64::from(micros) * 1000);
            let end_ns = match life.closed {
                Some(_) => entry.end_ns,
                None => {
                    let sure_ns = life.sure_ns.max(entry.start_ns.saturating_add(AT_ONCE_NS));
                    life.end_ns.min(next_ns).min(sure_ns)
                }
            };
            let end_ns = end_ns.min(entry.start_ns.saturating_add(open_ns.max(SLACK_NS)));
            let is_way = |position: &usize| match life.direction {
                Some(EventDirection::Out) => attempts[*position].opener == way,
                Some(EventDirection::In) => attempts[*position].opener != way,
                None => true,
            };
            let fits = |position: &usize| {
                let attempt = &attempts[*position];
                // A connection that was over by then, or never came to be, is another one.
                let became = attempt.over_ns.is_none_or(|over_ns| entry.start_ns < over_ns);
                match life.opened {
                    // It may have been there for long; which of several namespaces' the SYN of so
                    // long ago was nobody knows.
                    Kind::Socket => became && is_alone,
                    // Or the handshake took long; but without an answer either side repeats itself.
                    Kind::TcpAccept => {
                        let is_formers = n.checked_sub(1).is_some_and(|former| {
                            answered_by(recordings, &entries[former], attempt)
                        });
                        became
                            && !is_formers
                            && attempt.last_ns >= entry.start_ns - before_ns.min(REPEATED_NS)
                    }
                    // What was opened before the recording would have been told of at its start.
                    _ => {
                        let from = host.told_from(entry.start_ns);
                        // Of one whose beginning was lost the first row may be its end.
                        (life.opened != Kind::TcpConnect || became)
                            && from
                                .is_none_or(|from| from <= attempt.last_ns.saturating_add(SLACK_NS))
                    }
                }
            };
            // Attempts up to a time, less those that are used up.
            let until = |time_ns: i64| {
                attempts.partition_point(|attempt| attempt.first_ns <= time_ns).max(free)
            };
            let own = if life.opened == Kind::TcpConnect {
                // The row precedes the SYN; the other order is clock slack. At once, that is: one
                // further away is another connection's, unless the first were not captured.
                let slack_ns = if is_alone { SLACK_NS } else { 0 };
                let earliest = until(entry.start_ns.saturating_sub(slack_ns).saturating_sub(1));
                let start = until(entry.start_ns.saturating_sub(1));
                let after = (start..until(end_ns)).filter(is_way).find(fits);
                let candidates = [after, (earliest..start).rev().filter(is_way).find(fits)];
                let distance = |own: &usize| attempts[*own].first_ns.abs_diff(entry.start_ns);
                candidates.into_iter().flatten().min_by_key(distance)
            } else {
                let start = until(entry.start_ns);
                // A newer one took the tuple from all before it.
                let before = (free..start).rev().find(is_way).filter(fits);
                if life.opened == Kind::Socket {
                    // One that still sends its SYN shows which that is; no older one is its.
                    let sends = |position: &usize| attempts[*position].opener == way;
                    (start..until(entry.end_ns)).find(sends).or(before)
                } else {
                    // The row follows the handshake; the other order is clock slack.
                    let latest = entry.start_ns.saturating_add(SLACK_NS).min(end_ns);
                    before.or_else(|| (start..until(latest)).filter(is_way).find(fits))
                }
            };
            begun.push(Reverse((entry.end_ns, own)));
            if let Some(slot) = self.slot(entry.conversation) {
                *slot = own.map_or(NO_SYN, |position| u32::try_from(position).unwrap_or(NO_SYN));
            }
        }
    }

    /// Finds which of `entries` that have no close are over: a host makes no SYN, and answers none,
    /// of a connection it still has.
    fn supersede(
        &mut self,
        recordings: &Recordings,
        entries: &[Entry],
        attempts: &[Attempt],
        way: Way,
    ) {
        for entry in entries {
            let id = entry.conversation;
            if recordings.life_of(id).closed.is_some() {
                continue;
            }
            let next = match self.of(id) {
                Some(own) => own + 1,
                None => attempts.partition_point(|attempt| attempt.first_ns <= entry.start_ns),
            };
            // Of two that open at once each may seem to take the other's tuple.
            let opener = self.of(id).map(|own| attempts[own].opener);
            let again = |attempt: &&Attempt| opener.is_none_or(|opener| attempt.opener == opener);
            let taken = attempts[next..].iter().filter(again).find_map(|attempt| {
                let syn_ns = attempt.first_ns;
                let answered_ns = (attempt.opener != way).then_some(attempt.answered_ns);
                let from_ns = answered_ns.unwrap_or(Some(syn_ns))?;
                Some(Superseded { syn_ns, from_ns })
            });
            if let Some(taken) = taken {
                self.superseded.insert(id, taken);
            }
        }
    }

    fn claim(&mut self, key: FlowKey, entries: &[Entry]) {
        self.shared.insert(key);
        for entry in entries {
            if let Some(position) = self.slot(entry.conversation).map(|of| *of)
                && position != NO_SYN
            {
                // Two that claim one and the same: the SYN of either may not be in the capture.
                let claim = self.claims.entry((key, position)).or_insert(Some(entry.lane()));
                *claim = claim.filter(|&lane| lane == entry.lane());
            }
        }
    }

    /// Whose the attempt at `position` is, seen from `lane`.
    pub(super) fn whose(&self, key: &FlowKey, position: usize, lane: LaneId) -> Whose {
        if self.shared.is_empty() || !self.shared.contains(key) {
            return Whose::Ours;
        }
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        match self.claims.get(&(*key, position)).copied().flatten() {
            Some(claimed) if claimed == lane => Whose::Ours,
            Some(_) => Whose::Anothers,
            None => Whose::Unknown,
        }
    }

    /// Whether `id`, whose close was not recorded, was over by the time of a packet; a SYN is of a
    /// new connection.
    pub(super) fn is_superseded(&self, id: ConversationId, is_syn: bool, time_ns: i64) -> bool {
        let taken = (!self.superseded.is_empty()).then(|| self.superseded.get(&id)).flatten();
        taken.is_some_and(|taken| time_ns >= if is_syn { taken.syn_ns } else { taken.from_ns })
    }

    /// From when on packets but SYNs are no longer `id`'s, whose close was not recorded; `None` if a
    /// close was, or nobody took the tuple.
    pub(super) fn superseded_from(&self, id: ConversationId) -> Option<i64> {
        self.superseded.get(&id).map(|taken| taken.from_ns)
    }

    fn slot(&mut self, id: ConversationId) -> Option<&mut u32> {
        self.positions.get_mut(usize::try_from(id.0).ok()?)
    }

    /// The position of the attempt that `id` began with, if the capture has it.
    pub(super) fn of(&self, id: ConversationId) -> Option<usize> {
        let position = *self.positions.get(usize::try_from(id.0).ok()?)?;
        usize::try_from(position).ok().filter(|_| position != NO_SYN)
    }
}

/// Whether `attempt` is the other half of a simultaneous open: it came and went while the socket of `former`
/// was connecting to its sender.
fn answered_by(recordings: &Recordings, former: &Entry, attempt: &Attempt) -> bool {
    let life = recordings.life_of(former.conversation);
    life.opened == Kind::TcpConnect
        && former.start_ns <= attempt.first_ns
        && attempt.last_ns <= former.end_ns
}
