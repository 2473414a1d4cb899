//! Second stage, the only one that goes packet by packet through the whole capture in order: which
//! packet is the first of its flow and direction, and which only repeats what was said before.

use hashbrown::{HashMap, HashSet};
use schema::annotation::Reason;

use crate::attribute::{SideVerdict, Verdict};
use crate::config::Detail;
use crate::events::IdentityId;
use crate::label::Labels;
use crate::mark::Mark;

/// What is written on one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
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

/// Flows and directions without a socket that a generation of [`Said`] holds: as many as fit into 2^21
/// places of a table that is seven eighths full, 34 MB. A capture of a port scan has more flows than
/// any memory holds.
const GENERATION: usize = 7 << 18;

/// Decides the form of every packet by what was said before it.
#[derive(Debug)]
pub(crate) struct Sequencer {
    detail: Detail,
    /// What was last said of each flow and direction that a socket has; 0 if nothing was.
    known: Vec<u64>,
    /// The same of the others.
    strangers: Said,
    /// Processes that were introduced. As many as the recordings have.
    introduced: HashSet<IdentityId>,
}

/// What was last said of each flow and direction, by fingerprint. Once a generation is full it
/// becomes the old one, and the one before it is forgotten: of a flow so long silent all is said
/// once more.
#[derive(Debug)]
struct Said {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
    limit: usize,
}

impl Said {
    fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// Remembers what is `said` now; whether it is something else than before.
    fn replace(&mut self, flow: u64, said: u64) -> bool {
        let before = self.young.insert(flow, said).or_else(|| self.old.get(&flow).copied());
        if self.young.len() >= self.limit {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        before != Some(said)
    }
}

impl Sequencer {
    /// Nothing was said yet of flows, of which `flow_numbers` are numbered.
    #[must_use]
    pub(crate) fn new(detail: Detail, flow_numbers: usize) -> Self {
        Self::remembering(detail, flow_numbers, GENERATION)
    }

    /// One that remembers so many flows and directions without a socket in a generation.
    fn remembering(detail: Detail, flow_numbers: usize, limit: usize) -> Self {
        let (known, strangers) = (vec![0; flow_numbers * 2], Said::new(limit));
        Self { detail, known, strangers, introduced: HashSet::new() }
    }

    /// Appends what to write on the next packets, whose labels are among `labels`.
    pub(crate) fn forms(&mut self, marks: &[Mark], labels: &Labels<'_>, forms: &mut Vec<Form>) {
        let by_flow = match self.detail {
            Detail::Auto | Detail::Brief | Detail::First => true,
            Detail::Full | Detail::None => false,
        };
        let (brief, first) = match self.detail {
            Detail::First => (Form::Nothing, true),
            Detail::Brief => (Form::Brief, false),
            _ => (Form::Brief, true),
        };
        for mark in marks {
            let verdict = || &labels.get(mark.label).verdict;
            if mark.flow == Mark::NO_FLOW || !by_flow {
                forms.push(self.without_flow(mark.flow, verdict()));
                continue;
            }
            let is_new = self.is_new(mark);
            let is_named = mark.said & 1 != 0;
            forms.push(match (is_new, is_named) {
                (false, true) => brief,
                (false, false) => Form::Nothing,
                (true, true) if !first => Form::Brief,
                (true, _) => self.full(verdict()),
            });
        }
    }

    /// Whether something else is said of the packet's flow and direction than before.
    #[inline]
    fn is_new(&mut self, mark: &Mark) -> bool {
        let known = usize::try_from(mark.flow).ok().and_then(|flow| self.known.get_mut(flow));
        match known {
            Some(said) => std::mem::replace(said, mark.said) != mark.said,
            None => self.strangers.replace(mark.flow, mark.said),
        }
    }

    /// The form of a packet whatever was said before.
    fn without_flow(&mut self, flow: u64, verdict: &Verdict) -> Form {
        // What is not IP has no process; what has no ports or was cut has a reason to tell.
        let not_told = [Reason::NotIp, Reason::NoTime, Reason::Malformed];
        let is_ip = flow != Mark::NO_FLOW || !not_told.map(Verdict::none).contains(verdict);
        if is_ip && self.detail == Detail::Full { self.full(verdict) } else { Form::Nothing }
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
    use crate::config::Style;
    use crate::events::{ConversationId, Recordings};
    use crate::examine::Examined;
    use crate::render::Renderer;

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

    fn recordings() -> Recordings {
        let text = crate::events::TextId::NONE;
        let identity = |proc| crate::events::Identity {
            host: crate::events::HostId(0),
            proc,
            pid: proc,
            uid: None,
            gid: None,
            ppid: None,
            user: text,
            comm: text,
            exe: text,
            cmdline: text,
            parent_comm: text,
            parent_exe: text,
            container_id: text,
            container_name: text,
            container_image: text,
            pod: text,
        };
        Recordings { identities: (0..10).map(identity).collect(), ..Recordings::default() }
    }

    /// The forms of `packets`, each in a chunk of its own.
    fn forms(sequencer: &mut Sequencer, packets: &[Examined]) -> String {
        let recordings = recordings();
        let style = Style::default();
        let mut labels = Labels::new(Renderer::new(&recordings), style);
        let mut forms = vec![];
        for packet in packets {
            let mark = Mark::of(packet, &mut labels);
            sequencer.forms(&[mark], &labels, &mut forms);
        }
        let letter = |form: &Form| match form {
            Form::Nothing => '-',
            Form::Brief => 'b',
            Form::Full { introduce_src: true, .. } => 'I',
            Form::Full { .. } => 'F',
        };
        forms.iter().map(letter).collect()
    }

    #[test]
    fn the_full_form_stands_first_and_a_process_is_introduced_once() {
        let late = Match::direct(schema::annotation::Rule::Late);
        // Flows with a socket, and without.
        for [one, two, three] in [[1, 2, 3], [1, 2, 3].map(|flow| flow | Mark::STRANGER)] {
            let packets = [
                packet(one, Some(7), Match::EXACT),
                packet(one, Some(7), Match::EXACT),
                packet(two, Some(7), Match::EXACT),
                // How it was found is part of the brief form, too.
                packet(one, Some(7), late),
                packet(one, Some(8), Match::EXACT),
                packet(three, None, Match::EXACT),
                packet(three, None, Match::EXACT),
                packet(one, None, Match::EXACT),
            ];
            let forms = |detail| forms(&mut Sequencer::new(detail, 2), &packets);
            assert_eq!(forms(Detail::Auto), "IbFbIF-F");
            assert_eq!(forms(Detail::Brief), "bbbbbF-F");
            assert_eq!(forms(Detail::First), "I-F-IF-F");
            assert_eq!(forms(Detail::Full), "IIIIIFFF");
            assert_eq!(forms(Detail::None), "--------");
        }
    }

    #[test]
    fn of_a_stranger_that_was_long_silent_all_is_said_once_more() {
        let mut sequencer = Sequencer::remembering(Detail::Auto, 0, 4);
        let mut is_full = |flow: u64| {
            let packet = packet(flow | Mark::STRANGER, Some(7), Match::EXACT);
            matches!(&*forms(&mut sequencer, &[packet]), "I" | "F")
        };
        assert!(is_full(0));
        for flow in 1..100 {
            assert!(is_full(flow));
            assert!(!is_full(0), "seen between all others, it is never forgotten");
        }
        assert!(is_full(1));
        assert!(sequencer.strangers.young.len() + sequencer.strangers.old.len() <= 8);
    }
}
