//! What the recordings tell of connections, whether or not their packets were captured: how long
//! they took to open, how often they sent again, which failed and why.

use std::cmp::Reverse;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use schema::{Endpoint, Kind, Proto};

use super::party::Group;
use super::scale::{Cell, Timeline, Width};
use crate::events::{Conversation, ConversationId, IdentityId, Life, Recordings, TextId};

/// Rows of the tables of single connections.
pub const MAX_ROWS: usize = 100;

/// The upper bounds of the histogram's classes, microseconds; a last class has what is beyond.
pub const CLASSES_US: [u32; 22] = [
    10,
    20,
    50,
    100,
    200,
    500,
    1000,
    2000,
    5000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// Connections of one bucket of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// By recorded processes.
    pub outgoing: u64,
    /// To recorded processes.
    pub incoming: u64,
    /// By recorded processes, in vain.
    pub failed: u64,
}

impl Cell for Opened {
    fn merge(&mut self, other: Self) {
        self.outgoing += other.outgoing;
        self.incoming += other.incoming;
        self.failed += other.failed;
    }
}

/// What failed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failing {
    /// Whose connects.
    pub group: Option<Group>,
    /// Where to.
    pub remote: Endpoint,
    /// The name of the error.
    pub error: TextId,
}

/// How often.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    /// Connects.
    pub count: u64,
    /// The first, nanoseconds since 1970.
    pub first_ns: i64,
    /// The last.
    pub last_ns: i64,
}

/// How long a program's connects took.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Microseconds, in order.
    pub sorted_us: Vec<u32>,
    /// Segments that its connections sent again.
    pub retransmits: u64,
    /// Its connections that failed.
    pub failed: u64,
}

impl Latencies {
    /// The least value that is not below this share of all.
    #[must_use]
    pub fn quantile(&self, percent: usize) -> Option<u32> {
        let rank = (self.sorted_us.len() * percent).div_ceil(100).max(1);
        self.sorted_us.get(rank - 1).copied()
    }
}

/// What all connections add up to. As large as the recordings, which are in memory anyway.
#[derive(Clone, Debug)]
pub struct Connections {
    /// By the time of their first event.
    pub timeline: Timeline<Opened>,
    /// All of them; those that were there before the recording are in neither.
    pub total: Opened,
    /// Sockets that were connected before the recording began.
    pub standing: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// How many took how long, by [`CLASSES_US`].
    pub classes: [u64; CLASSES_US.len() + 1],
    /// How long all took, and what went wrong.
    pub all: Latencies,
    /// The same, by program.
    pub programs: Vec<(Group, Latencies)>,
    /// The slowest to open, slowest first.
    pub slowest: Vec<ConversationId>,
    /// Those that sent most segments again, worst first.
    pub resent: Vec<ConversationId>,
    /// How many connections sent any segment again.
    pub resent_count: u64,
    /// What failed, most frequent first.
    pub failing: Vec<(Failing, Failures)>,
}

impl Connections {
    /// Looks at all of them.
    #[must_use]
    pub fn of(recordings: &Recordings) -> Self {
        let mut out = Self {
            timeline: Timeline::new(Width::default()),
            total: Opened::default(),
            standing: 0,
            retransmits: 0,
            classes: [0; CLASSES_US.len() + 1],
            all: Latencies::default(),
            programs: vec![],
            slowest: vec![],
            resent: vec![],
            resent_count: 0,
            failing: vec![],
        };
        let mut programs = IndexMap::<Group, Latencies, FixedState>::default();
        let mut failing = IndexMap::<Failing, Failures, FixedState>::default();
        let (mut slowest, mut resent) = (Top::default(), Top::default());
        let ids = (0..).map(ConversationId);
        for (id, conversation) in ids.zip(recordings.conversations.iter(&recordings.lives)) {
            let life = recordings.life(conversation.life);
            if conversation.tuple.proto != Proto::TCP {
                continue;
            }
            let opened = opened(&life);
            out.total.merge(opened);
            out.standing += u64::from(opened == Opened::default());
            out.timeline.at(life.start_ns).merge(opened);
            let group = owner(&conversation, &life).map(|owner| Group::of(recordings, owner));
            let mut program = group.map(|group| programs.entry(group).or_default());
            // The far end tells when it accepted, not how long that took.
            if let Some(latency_us) = life.latency_us {
                let class = CLASSES_US.partition_point(|&bound| bound <= latency_us);
                out.classes[class] += 1;
                out.all.sorted_us.push(latency_us);
                if let Some(program) = &mut program {
                    program.sorted_us.push(latency_us);
                }
                slowest.push(latency_us, id);
            }
            if let Some(count) = life.retransmits.filter(|&count| count > 0) {
                out.all.retransmits += u64::from(count);
                if let Some(program) = &mut program {
                    program.retransmits += u64::from(count);
                }
                out.resent_count += 1;
                resent.push(count, id);
            }
            if opened.failed > 0 {
                out.all.failed += 1;
                if let Some(program) = &mut program {
                    program.failed += 1;
                }
                let key = Failing { group, remote: conversation.tuple.dst, error: life.error };
                let time_ns = life.end_ns;
                let known = failing.entry(key).or_insert(Failures {
                    count: 0,
                    first_ns: time_ns,
                    last_ns: time_ns,
                });
                known.count += 1;
                known.first_ns = known.first_ns.min(time_ns);
                known.last_ns = known.last_ns.max(time_ns);
            }
        }
        out.retransmits = out.all.retransmits;
        out.all.sorted_us.sort_unstable();
        out.programs = programs.into_iter().collect();
        for (_, latencies) in &mut out.programs {
            latencies.sorted_us.sort_unstable();
        }
        out.slowest = slowest.finish();
        out.resent = resent.finish();
        out.failing = failing.into_iter().collect();
        out.failing.sort_by_key(|(_, failures)| Reverse(failures.count));
        out
    }
}

/// Who holds it.
#[must_use]
pub fn owner(conversation: &Conversation, life: &Life) -> Option<IdentityId> {
    conversation.owner.or(life.owner)
}

fn opened(life: &Life) -> Opened {
    let mut opened = Opened::default();
    match (life.opened, life.closed) {
        (_, Some(Kind::TcpConnectFail)) => opened.failed = 1,
        (Kind::TcpConnect | Kind::TcpEstablished, _) => opened.outgoing = 1,
        (Kind::TcpAccept, _) => opened.incoming = 1,
        _ => {}
    }
    opened
}

/// Keeps the [`MAX_ROWS`] of the greatest weight; of equal ones those that came first.
#[derive(Default)]
struct Top(Vec<(Reverse<u32>, ConversationId)>);

impl Top {
    fn push(&mut self, weight: u32, id: ConversationId) {
        self.0.push((Reverse(weight), id));
        if self.0.len() >= 2 * MAX_ROWS {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.0.sort_unstable();
        self.0.truncate(MAX_ROWS);
    }

    fn finish(mut self) -> Vec<ConversationId> {
        self.cut();
        self.0.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_keeps_the_greatest_and_of_equals_the_first() {
        let mut top = Top::default();
        for id in 0..1000 {
            top.push(id % 10, ConversationId(id));
        }
        let ids = top.finish();
        assert_eq!(ids.len(), MAX_ROWS);
        assert!(ids.iter().all(|id| id.0 % 10 == 9));
        assert_eq!((ids[0].0, ids[99].0), (9, 999));
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let latencies = Latencies { sorted_us: (1..=100).collect(), ..Latencies::default() };
        assert_eq!([50, 95, 99, 100].map(|p| latencies.quantile(p)), [50, 95, 99, 100].map(Some));
        assert_eq!(Latencies::default().quantile(50), None);
        let one = Latencies { sorted_us: vec![7], ..Latencies::default() };
        assert_eq!([1, 50, 99].map(|p| one.quantile(p)), [Some(7); 3]);
    }
}
