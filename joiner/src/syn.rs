//! Connection attempts seen in the capture. A SYN tells two connections of one tuple apart when
//! their times alone do not: retransmitted SYNs share a sequence number, a new number is a new
//! connection.

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
    flows: HashMap<FlowKey, Vec<Attempt>>,
}

impl SynTable {
    /// Sorts out `syns`, which may come in any order.
    #[must_use]
    pub fn from_unordered(mut syns: Vec<Syn>) -> Self {
        // A SYN-ACK of the same instant answers: it goes after the SYN.
        syns.sort_by_key(|syn| (syn.time_ns, syn.ack.is_some(), syn.tuple, syn.seq));
        let mut flows: HashMap<FlowKey, Vec<Attempt>> = HashMap::new();
        for Syn { tuple, time_ns, seq, ack } in syns {
            let (key, way) = tuple.canonical();
            let attempts = flows.entry(key).or_default();
            if let Some(ack) = ack {
                let answered = |a: &&mut Attempt| a.opener != way && a.is_acked_by(ack);
                if let Some(attempt) = attempts.iter_mut().rev().find(answered) {
                    attempt.answered_ns.get_or_insert(time_ns);
                    attempt.last_ns = time_ns;
                }
                continue;
            }
            match attempts.iter_mut().rev().find(|attempt| attempt.opener == way) {
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
        Self { flows }
    }

    /// The attempts of flow `key`, in order of time.
    #[must_use]
    pub fn attempts(&self, key: &FlowKey) -> &[Attempt] {
        self.flows.get(key).map_or(&[], Vec::as_slice)
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
        let syn = |time_ns, seq| Syn { tuple, time_ns, seq, ack: None };
        let answer = Syn { tuple: tuple.reversed(), time_ns: 3, seq: 900, ack: Some(8) };
        let late = Syn { tuple: tuple.reversed(), time_ns: 20, seq: 901, ack: Some(8) };
        let table = SynTable::from_unordered(vec![syn(10, 9), answer, late, syn(1, 7), syn(2, 7)]);
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
