//! Connection attempts seen in the capture. A SYN tells two connections of one tuple apart when
//! their times alone do not: retransmitted SYNs share a sequence number, a new number is a new
//! connection.

use std::hint::black_box;

use hashbrown::HashMap;
use schema::flow::Way;
use schema::{FiveTuple, FlowKey};

use crate::decode::Tcp;
use crate::events::Conversations;
use crate::index::{BATCH, Batch, Index};

/// A packet that tells of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syn {
    /// From its sender to its receiver.
    pub tuple: FiveTuple,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its sequence number.
    pub seq: u32,
    /// What it tells.
    pub sign: Sign,
}

/// What a packet tells of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A SYN without ACK: it is made.
    Syn,
    /// A SYN-ACK of this acknowledgement number: it is answered.
    Answer(u32),
    /// A reset that answers a SYN, with this acknowledgement number: nobody is there.
    Refusal(u32),
    /// Its sender has no more to say.
    Fin,
    /// There is no connection any more.
    Reset,
}

impl Sign {
    /// What a segment tells, if it does.
    #[must_use]
    pub fn of(tcp: &Tcp) -> Option<Self> {
        if tcp.is_syn() {
            return Some(Self::Syn);
        }
        if tcp.is_syn_ack() {
            return Some(Self::Answer(tcp.ack));
        }
        // A segment with an acknowledgement is reset with that number; one without, a SYN, with 0.
        match (tcp.flags & Tcp::RST != 0, tcp.flags & Tcp::ACK != 0) {
            (true, true) if tcp.seq == 0 => Some(Self::Refusal(tcp.ack)),
            (true, _) => Some(Self::Reset),
            (false, _) => (tcp.flags & Tcp::FIN != 0).then_some(Self::Fin),
        }
    }

    /// Whether it tells when a connection ended, not that one was tried.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Fin | Self::Reset)
    }

    /// Whether it tells that nobody is there.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refusal(_))
    }
}

/// One attempt to connect: a SYN and its retransmissions. It may be known by its answer alone, where
/// the capture lacks the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The way the SYN went.
    pub opener: Way,
    /// Its sequence number.
    pub seq: u32,
    /// When it, or its answer, was first seen, nanoseconds since 1970.
    pub first_ns: i64,
    /// When it, or its answer, was last seen, nanoseconds since 1970.
    pub last_ns: i64,
    /// When its SYN-ACK was first seen, nanoseconds since 1970.
    pub answered_ns: Option<i64>,
    /// When it was refused, or the connection that it became ended, nanoseconds since 1970. Only told of
    /// flows that may be several connections'.
    pub over_ns: Option<i64>,
    /// Which way it was closed first, in such flows.
    pub closed: Option<Way>,
    /// Whether the SYN itself was seen.
    pub is_seen: bool,
}

impl Attempt {
    /// Whether `ack` acknowledges this SYN and nothing more.
    #[must_use]
    pub fn is_acked_by(&self, ack: u32) -> bool {
        self.seq.wrapping_add(1) == ack
    }
}

/// The attempts of every flow, in order of time.
#[derive(Debug, Default)]
pub struct SynTable {
    /// Where the attempts of each flow begin, by its number in the index; then those of the others, by
    /// theirs; and where the last ones end.
    begins: Vec<u32>,
    /// Numbers of the flows that the index does not have.
    others: HashMap<FlowKey, u32>,
    /// Those of one flow are neighbours.
    attempts: Vec<Attempt>,
}

impl SynTable {
    /// Sorts out `syns`, which may come in any order and are put in that of their times. Flows are
    /// numbered by `index`, which has `conversations`.
    #[must_use]
    pub fn from_unordered(syns: &mut [Syn], index: &Index, conversations: &Conversations) -> Self {
        if syns.is_empty() {
            return Self::default();
        }
        // An answer of the same instant goes after the SYN.
        syns.sort_by(|a, b| {
            let rest = |syn: &Syn| (syn.sign, syn.tuple, syn.seq);
            a.time_ns.cmp(&b.time_ns).then_with(|| rest(a).cmp(&rest(b)))
        });
        let mut others: HashMap<FlowKey, u32> = HashMap::new();
        // For each flow, how many of `syns` are its; then where the next of them goes.
        let mut places: Vec<u32> = vec![0; index.numbers()];
        let mut numbers: Vec<u32> = Vec::with_capacity(syns.len());
        let mut batch = Batch::default();
        for syns in syns.chunks(BATCH) {
            let keys = syns.iter().map(|syn| syn.tuple.canonical().0);
            index.find_all(keys, conversations, &mut batch);
            for (syn, found) in syns.iter().zip(batch.found()) {
                let number = match found {
                    Some(found) => found.first,
                    None => *others.entry(syn.tuple.canonical().0).or_insert_with(|| {
                        places.push(0);
                        position(places.len() - 1)
                    }),
                };
                places[number as usize] += 1;
                numbers.push(number);
            }
        }
        let mut end = 0;
        for place in &mut places {
            end += std::mem::replace(place, end);
        }
        let mut by_flow = vec![0_u32; syns.len()];
        for (syn, number) in (0..).zip(&numbers) {
            let place = &mut places[*number as usize];
            by_flow[*place as usize] = syn;
            *place += 1;
        }
        drop(numbers);
        // Each place is now the end of its flow.
        let mut attempts = vec![];
        let mut from = 0;
        for place in &mut places {
            let first = attempts.len();
            let to = std::mem::replace(place, position(first));
            for &syn in &by_flow[from as usize..to as usize] {
                note(&mut attempts, first, &syns[syn as usize]);
            }
            from = to;
        }
        places.push(position(attempts.len()));
        attempts.shrink_to_fit();
        Self { begins: places, others, attempts }
    }

    /// Whether there is no attempt at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The attempts of the flow `key`, whose number in the index is `number`, in order of time.
    #[inline]
    #[must_use]
    pub fn attempts(&self, number: Option<u32>, key: &FlowKey) -> &[Attempt] {
        let other = || (!self.others.is_empty()).then(|| self.others.get(key).copied()).flatten();
        number.or_else(other).map_or(&[], |number| self.attempts_of(number))
    }

    /// The attempts of the flow with this number in the index, in order of time.
    #[inline]
    #[must_use]
    pub fn attempts_of(&self, number: u32) -> &[Attempt] {
        match self.begins.get(number as usize..number as usize + 2) {
            Some(&[from, to]) => &self.attempts[from as usize..to as usize],
            _ => &[],
        }
    }

    /// Fetches what [`attempts`](Self::attempts) will need of the flow with this number, without waiting
    /// for it.
    #[inline]
    pub fn touch(&self, number: u32) {
        black_box(self.begins.get(number as usize));
    }
}

/// Takes note of the next sign of a flow whose attempts are those from `first` on.
fn note(attempts: &mut Vec<Attempt>, first: usize, syn: &Syn) {
    let Syn { tuple, time_ns, seq, sign } = *syn;
    let (_, way) = tuple.canonical();
    let (opener, seq) = match sign {
        Sign::Syn => (way, seq),
        Sign::Answer(ack) | Sign::Refusal(ack) => (other(way), ack.wrapping_sub(1)),
        Sign::Fin | Sign::Reset => {
            let last = attempts[first..].last_mut();
            // Before it is answered, its opener resets what is left of a former one.
            let is_its = |last: &&mut Attempt| {
                sign != Sign::Reset
                    || last.opener != way
                    || last.answered_ns.is_some()
                    || last.is_acked_by(seq)
            };
            if let Some(last) = last.filter(is_its) {
                let closed = *last.closed.get_or_insert(way);
                if sign == Sign::Reset || closed != way {
                    last.over_ns.get_or_insert(time_ns);
                }
            }
            return;
        }
    };
    let its = &attempts[first..];
    let is_it = |attempt: &Attempt| (attempt.opener, attempt.seq) == (opener, seq);
    let known = match sign {
        // Only one that is repeated: numbers come again.
        Sign::Syn => its.iter().rposition(|attempt| attempt.opener == opener),
        _ => its.iter().rposition(is_it),
    };
    let known =
        known.filter(|&known| its[known].seq == seq).map_or(attempts.len(), |at| first + at);
    if known == attempts.len() {
        attempts.push(Attempt {
            opener,
            seq,
            first_ns: time_ns,
            last_ns: time_ns,
            answered_ns: None,
            over_ns: None,
            closed: None,
            is_seen: false,
        });
    }
    let attempt = &mut attempts[known];
    attempt.last_ns = time_ns;
    // What comes again is not over: that was the end of a former one.
    attempt.over_ns = sign.is_refusal().then_some(time_ns);
    match sign {
        Sign::Syn => attempt.is_seen = true,
        Sign::Answer(_) => _ = attempt.answered_ns.get_or_insert(time_ns),
        _ => {}
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn other(way: Way) -> Way {
    match way {
        Way::Up => Way::Down,
        Way::Down => Way::Up,
    }
}

#[cfg(test)]
mod tests {
    use schema::{Endpoint, Proto};

    use super::*;

    #[test]
    fn retransmissions_share_an_attempt_and_a_new_number_starts_one() {
        let client = Endpoint::v4([10, 0, 0, 1], 40000);
        let server = Endpoint::v4([10, 0, 0, 2], 80);
        let tuple = FiveTuple::new(Proto::TCP, client, server);
        let syn = |time_ns, seq| Syn { tuple, time_ns, seq, sign: Sign::Syn };
        let syn_end = |time_ns, sign| Syn { sign, ..syn(time_ns, 0) };
        let back = |time_ns, seq, sign| Syn { tuple: tuple.reversed(), time_ns, seq, sign };
        let answers = [back(3, 900, Sign::Answer(8)), back(20, 901, Sign::Answer(8))];
        let unseen = [back(30, 0, Sign::Refusal(12)), back(40, 902, Sign::Answer(15))];
        let ends = [back(51, 903, Sign::Fin), syn_end(52, Sign::Fin), syn_end(53, Sign::Reset)];
        let mut syns =
            [&[syn(10, 9)], &answers[..], &unseen, &ends, &[syn(1, 7), syn(2, 7)]].concat();
        let (index, none) = (Index::default(), Conversations::default());
        let table = SynTable::from_unordered(&mut syns, &index, &none);
        let (key, opener) = tuple.canonical();
        let attempt = |seq, first_ns, last_ns| Attempt {
            opener,
            seq,
            first_ns,
            last_ns,
            answered_ns: None,
            over_ns: None,
            closed: None,
            is_seen: true,
        };
        assert_eq!(
            table.attempts(None, &key),
            [
                Attempt { answered_ns: Some(3), ..attempt(7, 1, 20) },
                attempt(9, 10, 10),
                Attempt { over_ns: Some(30), is_seen: false, ..attempt(11, 30, 30) },
                Attempt {
                    answered_ns: Some(40),
                    over_ns: Some(52),
                    closed: Some(other(opener)),
                    is_seen: false,
                    ..attempt(14, 40, 40)
                },
            ]
        );
    }
}
