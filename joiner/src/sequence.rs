//! Second stage, the only one that goes packet by packet through the whole capture in order: which
//! packet is the first of its flow and direction, and which only repeats what was said before.

use hashbrown::{HashMap, HashSet};

use crate::attribute::{SideVerdict, Verdict};
use crate::config::Detail;
use crate::events::IdentityId;
use crate::examine::Examined;
use schema::annotation::Reason;

/// What is written on one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Nothing,
    /// The processes, referring to what was said before.
    Brief,
    /// The processes and how they were found.
    Full {
        /// Whether the sender stands here for the first time in the file, with all that is known
        /// of it: arguments and father need not be said with every flow.
        introduce_src: bool,
        /// The same of the receiver.
        introduce_dst: bool,
    },
}

/// Flows and directions that a generation of [`Said`] holds: as many as fit into 2^22 places of a
/// table that is seven eighths full, 140 MB. A capture of a port scan has more flows than any memory
/// holds.
const GENERATION: usize = 7 << 19;

/// Decides the form of every packet by what was said before it.
#[derive(Debug)]
pub struct Sequencer {
    detail: Detail,
    said: Said,
    /// Processes that were introduced. As many as the recordings have.
    introduced: HashSet<IdentityId>,
}

/// What was last said of each flow and direction, by fingerprint. Once a generation is full it
/// becomes the old one, and the one before it is forgotten: of a flow so long silent all is said
/// once more.
#[derive(Debug)]
struct Said {
    young: HashMap<u64, Verdict>,
    old: HashMap<u64, Verdict>,
    limit: usize,
}

impl Said {
    fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// Remembers `verdict`; what was remembered until now.
    fn replace(&mut self, flow: u64, verdict: Verdict) -> Option<Verdict> {
        let before = self.young.insert(flow, verdict).or_else(|| self.old.get(&flow).copied());
        if self.young.len() >= self.limit {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        before
    }
}

impl Sequencer {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(detail: Detail) -> Self {
        Self::remembering(detail, GENERATION)
    }

    /// One that remembers so many flows and directions in a generation.
    fn remembering(detail: Detail, limit: usize) -> Self {
        Self { detail, said: Said::new(limit), introduced: HashSet::new() }
    }

    /// What to write on the next packet.
    pub fn form(&mut self, packet: &Examined) -> Form {
        let Some(flow) = packet.flow else {
            // What is not IP has no process; what has no ports or was cut has a reason to tell.
            let not_told = [Reason::NotIp, Reason::NoTime, Reason::Malformed];
            let is_ip = !not_told.map(Verdict::none).contains(&packet.verdict);
            let is_told = is_ip && self.detail == Detail::Full;
            return if is_told { self.full(&packet.verdict) } else { Form::Nothing };
        };
        match self.detail {
            Detail::None => return Form::Nothing,
            Detail::Full => return self.full(&packet.verdict),
            Detail::Auto | Detail::Brief | Detail::First => {}
        }
        let before = self.said.replace(flow, packet.verdict);
        let is_new = before.is_none_or(|before| !before.agrees(&packet.verdict));
        match (is_new, packet.verdict.is_named()) {
            (true, false) => self.full(&packet.verdict),
            (false, false) => Form::Nothing,
            (true, true) if self.detail != Detail::Brief => self.full(&packet.verdict),
            (_, true) if self.detail != Detail::First => Form::Brief,
            (_, true) => Form::Nothing,
        }
    }

    fn full(&mut self, verdict: &Verdict) -> Form {
        let mut introduce = |side: &SideVerdict| match side {
            SideVerdict::Named { owner, .. } => {
                self.detail == Detail::Full || self.introduced.insert(*owner)
            }
            SideVerdict::Unnamed(_) => false,
        };
        Form::Full {
            introduce_src: introduce(&verdict.src),
            introduce_dst: introduce(&verdict.dst),
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::annotation::Match;

    use super::*;
    use crate::attribute::{Holder, Via};
    use crate::events::ConversationId;

    fn packet(flow: u64, owner: Option<u32>, found: Match) -> Examined {
        let unnamed = SideVerdict::Unnamed(Reason::Remote);
        let src = owner.map_or(unnamed, |owner| SideVerdict::Named {
            holder: Holder::Conversation(ConversationId(0)),
            owner: IdentityId(owner),
            found,
            via: Via::Nobody,
        });
        Examined {
            verdict: Verdict { src, dst: unnamed },
            flow: Some(flow),
            tuple: None,
            time_ns: 0,
        }
    }

    fn forms(detail: Detail, packets: &[Examined]) -> String {
        let mut sequencer = Sequencer::new(detail);
        let letter = |packet| match sequencer.form(packet) {
            Form::Nothing => '-',
            Form::Brief => 'b',
            Form::Full { introduce_src: true, .. } => 'I',
            Form::Full { .. } => 'F',
        };
        packets.iter().map(letter).collect()
    }

    #[test]
    fn the_full_form_stands_first_and_a_process_is_introduced_once() {
        let late = Match::direct(schema::annotation::Rule::Late);
        let packets = [
            packet(1, Some(7), Match::EXACT),
            packet(1, Some(7), Match::EXACT),
            packet(2, Some(7), Match::EXACT),
            // How it was found is part of the brief form, too.
            packet(1, Some(7), late),
            packet(1, Some(8), Match::EXACT),
            packet(3, None, Match::EXACT),
            packet(3, None, Match::EXACT),
            packet(1, None, Match::EXACT),
        ];
        assert_eq!(forms(Detail::Auto, &packets), "IbFbIF-F");
        assert_eq!(forms(Detail::Brief, &packets), "bbbbbF-F");
        assert_eq!(forms(Detail::First, &packets), "I-F-IF-F");
        assert_eq!(forms(Detail::Full, &packets), "IIIIIFFF");
        assert_eq!(forms(Detail::None, &packets), "--------");
    }

    #[test]
    fn of_a_flow_that_was_long_silent_all_is_said_once_more() {
        let mut sequencer = Sequencer::remembering(Detail::Auto, 4);
        let mut is_full = |flow| {
            let form = sequencer.form(&packet(flow, Some(7), Match::EXACT));
            matches!(form, Form::Full { .. })
        };
        assert!(is_full(0));
        for flow in 1..100 {
            assert!(is_full(flow));
            assert!(!is_full(0), "seen between all others, it is never forgotten");
        }
        assert!(is_full(1));
        assert!(sequencer.said.young.len() + sequencer.said.old.len() <= 8);
    }
}
