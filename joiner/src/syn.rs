//! Connection attempts seen in the capture. A SYN tells two connections of one tuple apart when
//! their times alone do not: retransmitted SYNs share a sequence number, a new number is a new
//! connection.

use std::ops::Range;

use hashbrown::HashMap;
use schema::flow::Way;
use schema::{FiveTuple, FlowKey};

/// A packet with the SYN flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syn {
    /// From its sender to its receiver.
    pub tuple: FiveTuple,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its sequence number.
    pub seq: u32,
    /// For a SYN-ACK, its acknowledgement number.
    pub ack: Option<u32>,
}

/// One attempt to connect: a SYN and its retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The way the SYN went.
    pub opener: Way,
    /// Its sequence number.
    pub seq: u32,
    /// When it was first seen, nanoseconds since 1970.
    pub first_ns: i64,
    /// When it, or its SYN-ACK, was last seen, nanoseconds since 1970.
    pub last_ns: i64,
    /// When its SYN-ACK was first seen, nanoseconds since 1970.
    pub answered_ns: Option<i64>,
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
    /// By flow, where its attempts are.
    flows: HashMap<FlowKey, Range<u32>>,
    /// Those of one flow are neighbours.
    attempts: Vec<Attempt>,
}

impl SynTable {
    /// Sorts out `syns`, which may come in any order and are put in that of their times.
    #[must_use]
    pub fn from_unordered(syns: &mut [Syn]) -> Self {
        // A SYN-ACK of the same instant answers: it goes after the SYN.
        syns.sort_by_key(|syn| (syn.time_ns, syn.ack.is_some(), syn.tuple, syn.seq));
        let mut flows: HashMap<FlowKey, Range<u32>> = HashMap::new();
        // For each flow, how many of `syns` are its; then where the next of them goes.
        let mut places: Vec<u32> = vec![];
        let numbers: Vec<u32> = syns
            .iter()
            .map(|syn| {
                let next = position(places.len());
                let range = flows.entry(syn.tuple.canonical().0).or_insert(next..next);
                if range.start == next {
                    places.push(0);
                }
                places[range.start as usize] += 1;
                range.start
            })
            .collect();
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
        let ranges: Vec<Range<u32>> = places
            .iter()
            .map(|&to| {
                let first = attempts.len();
                for &syn in &by_flow[from as usize..to as usize] {
                    note(&mut attempts, first, &syns[syn as usize]);
                }
                from = to;
                position(first)..position(attempts.len())
            })
            .collect();
        for range in flows.values_mut() {
            *range = ranges[range.start as usize].clone();
        }
        attempts.shrink_to_fit();
        Self { flows, attempts }
    }

    /// Whether there is no attempt at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// The attempts of flow `key`, in order of time.
    #[must_use]
    pub fn attempts(&self, key: &FlowKey) -> &[Attempt] {
        let range = self.flows.get(key);
        range.map_or(&[], |range| &self.attempts[range.start as usize..range.end as usize])
    }
}

/// Takes note of the next SYN or SYN-ACK of a flow whose attempts are those from `first` on.
fn note(attempts: &mut Vec<Attempt>, first: usize, syn: &Syn) {
    let Syn { tuple, time_ns, seq, ack } = *syn;
    let (_, way) = tuple.canonical();
    let its = &mut attempts[first..];
    if let Some(ack) = ack {
        let answered = |a: &&mut Attempt| a.opener != way && a.is_acked_by(ack);
        if let Some(attempt) = its.iter_mut().rev().find(answered) {
            attempt.answered_ns.get_or_insert(time_ns);
            attempt.last_ns = time_ns;
        }
        return;
    }
    match its.iter_mut().rev().find(|attempt| attempt.opener == way) {
        Some(last) if last.seq == seq => last.last_ns = time_ns,
        _ => attempts.push(Attempt {
            opener: way,
            seq,
            first_ns: time_ns,
            last_ns: time_ns,
            answered_ns: None,
        }),
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
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
        let syn = |time_ns, seq| Syn { tuple, time_ns, seq, ack: None };
        let answer = Syn { tuple: tuple.reversed(), time_ns: 3, seq: 900, ack: Some(8) };
        let late = Syn { tuple: tuple.reversed(), time_ns: 20, seq: 901, ack: Some(8) };
        let table = SynTable::from_unordered(&mut [syn(10, 9), answer, late, syn(1, 7), syn(2, 7)]);
        let (key, opener) = tuple.canonical();
        assert_eq!(
            table.attempts(&key),
            [
                Attempt { opener, seq: 7, first_ns: 1, last_ns: 20, answered_ns: Some(3) },
                Attempt { opener, seq: 9, first_ns: 10, last_ns: 10, answered_ns: None },
            ]
        );
    }
}
