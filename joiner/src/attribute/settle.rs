//! The three rules that need no table but the lives, for one end of one packet in one lane: exact,
//! early, and, in a module of its own, late.
//! Each rule collects the conversations that fit; the first rule that finds any decides, and if they
//! belong to different processes nobody is named.

use schema::annotation::Rule;
use schema::flow::Way;
use schema::{FlowKey, Kind, Proto};

mod late;

use super::Windows;
use super::own_syn::{OwnSyns, Whose};
use crate::decode::{Packet, Tcp};
use crate::events::{ConversationId, IdentityId, Life, Recordings};
use crate::index::Entry;
use crate::syn::{Attempt, Sign};

/// How many lives or attempts of one tuple are looked at around a packet's time. One tuple is one
/// connection at a time in each namespace, so more can only come from sockets whose namespace is not
/// known.
const LOOK_AROUND: usize = 64;

/// What fits one end of a packet in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneFit {
    /// One process's conversation.
    One(ConversationId, Rule),
    /// Conversations of several processes.
    Several(Rule),
    /// None.
    Nobody,
}

/// One end of a flow, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) recordings: &'a Recordings,
    /// Conversations that are local to this end, by start; not empty.
    pub(super) entries: &'a [Entry],
    /// The flow, and its connection attempts.
    pub(super) key: &'a FlowKey,
    pub(super) attempts: &'a [Attempt],
    pub(super) own_syns: &'a OwnSyns,
    pub(super) windows: Windows,
    /// The way the packet goes.
    pub(super) way: Way,
    /// Whether this end sent it.
    pub(super) sent: bool,
}

impl<'a> End<'a> {
    /// The attempts up to `time_ns`.
    fn seen_attempts(&self, time_ns: i64) -> &'a [Attempt] {
        let attempts = self.attempts;
        &attempts[..attempts.partition_point(|attempt| attempt.first_ns <= time_ns)]
    }

    /// Applies the rules in order of certainty.
    pub(super) fn settle(
        &self,
        packet: &Packet,
        time_ns: i64,
        owner: impl Fn(ConversationId) -> Option<IdentityId>,
    ) -> LaneFit {
        let mut choice = Choice { fit: LaneFit::Nobody, owner: None, owner_of: owner };
        let attempt = packet.tcp.as_ref().and_then(|tcp| self.named_attempt(tcp, time_ns));
        if let Some(attempt) = attempt {
            self.opening(attempt, time_ns, &mut choice);
            // Or to that of the same tuple in another namespace; and what refuses it is nobody's.
            let lane = self.entries[0].lane();
            if choice.fit != LaneFit::Nobody
                || self.own_syns.whose(self.key, attempt, lane) == Whose::Anothers
                || packet.tcp.as_ref().and_then(Sign::of).is_some_and(Sign::is_refusal)
            {
                return choice.fit;
            }
        }
        let is_over = |entry: &Entry| {
            packet.tcp.as_ref().is_some_and(|tcp| {
                self.own_syns.is_superseded(entry.conversation, tcp.is_syn(), time_ns)
            })
        };
        let open = self.reaching(time_ns, 0).filter(|entry| time_ns <= entry.end_ns);
        for entry in open.filter(|entry| !is_over(entry)) {
            let syn = packet.tcp.as_ref().filter(|tcp| tcp.is_syn() && entry.is_contested());
            if syn.is_some_and(|syn| self.began_otherwise(entry, syn)) {
                // It may be another namespace's; or the one it seemed to begin with was.
                choice.fit = LaneFit::Several(Rule::Exact);
            } else {
                choice.add(entry, Rule::Exact);
            }
        }
        if choice.fit != LaneFit::Nobody {
            return choice.fit;
        }
        match &packet.tcp {
            // A SYN of another attempt than those of the lives around it belongs to none of them.
            Some(tcp) if tcp.is_syn() && !self.attempts.is_empty() => {}
            Some(tcp) => {
                self.early_tcp(tcp, time_ns, &mut choice);
                // Without its SYN, what precedes a life may as well be the last of the former one.
                let is_early = choice.fit != LaneFit::Nobody;
                if !is_early || self.begins_unseen(time_ns) {
                    self.late_tcp((tcp, attempt.is_some()), time_ns, is_early, &mut choice);
                }
                if !is_early && choice.fit != LaneFit::Nobody && self.is_before_unseen(time_ns) {
                    choice.fit = LaneFit::Several(Rule::Late);
                }
            }
            None if self.sent && packet.tuple.proto == Proto::UDP => {
                self.early(time_ns, |entry| self.is_just_before(entry, time_ns), &mut choice);
                if choice.fit == LaneFit::Nobody {
                    self.late_udp(time_ns, &mut choice);
                }
            }
            None => {}
        }
        let opens = attempt.is_some() || packet.tcp.as_ref().is_some_and(Tcp::is_syn);
        if choice.fit == LaneFit::Nobody && !opens && self.may_go_on(is_over, time_ns) {
            choice.fit = LaneFit::Several(Rule::Late);
        }
        choice.fit
    }

    /// Whether `entry` began with another SYN than this one that goes the same way.
    fn began_otherwise(&self, entry: &Entry, syn: &Tcp) -> bool {
        let own = self.own_syns.of(entry.conversation).map(|own| &self.attempts[own]);
        own.is_some_and(|own| own.opener == self.way && own.seq != syn.seq)
    }

    /// Entries that began by `time_ns`.
    fn begun(&self, time_ns: i64) -> &'a [Entry] {
        &self.entries[..self.entries.partition_point(|entry| entry.start_ns <= time_ns)]
    }

    /// Entries that began by `time_ns` and whose end, prolonged by `after_ns`, is not long past;
    /// latest start first.
    fn reaching(&self, time_ns: i64, after_ns: i64) -> impl Iterator<Item = &Entry> {
        self.begun(time_ns)
            .iter()
            .rev()
            .take_while(move |entry| entry.latest_end_ns.saturating_add(after_ns) >= time_ns)
    }

    /// The attempt that a SYN, or what answers it, names by its number.
    fn named_attempt(&self, tcp: &Tcp, time_ns: i64) -> Option<usize> {
        let sign = Sign::of(tcp)?;
        let is_it = |attempt: &Attempt| match sign {
            Sign::Syn => attempt.opener == self.way && attempt.seq == tcp.seq,
            Sign::Answer(ack) | Sign::Refusal(ack) => {
                attempt.opener != self.way && attempt.is_acked_by(ack)
            }
            Sign::Fin | Sign::Reset => false,
        };
        let seen = self.seen_attempts(time_ns);
        let oldest = seen.len().saturating_sub(LOOK_AROUND);
        seen[oldest..].iter().rposition(is_it).map(|position| oldest + position)
    }

    /// A packet of the handshake belongs to the conversation that began with this attempt.
    fn opening<F>(&self, attempt: usize, time_ns: i64, choice: &mut Choice<F>)
    where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        // A life begins at about the time of its own SYN, or is the next one after it.
        let first_ns = self.attempts[attempt].first_ns;
        let near = self.begun(first_ns).len();
        let around = near.saturating_sub(LOOK_AROUND)..self.entries.len().min(near + LOOK_AROUND);
        for entry in &self.entries[around] {
            if self.own_syns.of(entry.conversation) != Some(attempt) {
                continue;
            }
            // Its close may have been lost, but this is its handshake.
            let life = self.life(entry);
            let is_open = time_ns <= entry.end_ns
                || (entry.end_ns == life.sure_ns
                    && life.closed.is_none()
                    && time_ns <= life.end_ns);
            if time_ns < entry.start_ns {
                choice.add(entry, Rule::Early);
            } else if is_open {
                choice.add(entry, Rule::Exact);
            } else if time_ns - entry.end_ns <= self.windows.after_ns {
                choice.add(entry, Rule::Late);
            }
        }
    }

    fn early_tcp<F>(&self, tcp: &Tcp, time_ns: i64, choice: &mut Choice<F>)
    where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        let begun = self.begun(time_ns);
        let fits = |entry: &Entry| {
            match self.own_syns.of(entry.conversation).map(|own| &self.attempts[own]) {
                Some(own) if own.first_ns > time_ns => false,
                // Before it is answered, a bare reset is the answer to what the old socket said of it.
                Some(own) if own.opener == self.way => {
                    let is_answered = own.answered_ns.is_some_and(|answered| answered <= time_ns);
                    self.sent || is_answered || tcp.flags & (Tcp::RST | Tcp::ACK) != Tcp::RST
                }
                // Its opener has no other socket any more.
                Some(_) if !self.sent => true,
                // The other way, everything before the SYN-ACK is the old socket's.
                Some(own) => match own.answered_ns {
                    Some(answered) => answered <= time_ns,
                    None => acks(tcp, own) || !lingers(begun, time_ns, self.windows.after_ns),
                },
                // Nothing begins with a reset.
                None => tcp.flags & Tcp::RST == 0 && self.is_just_before(entry, time_ns),
            }
        };
        self.early(time_ns, fits, choice);
    }

    fn early<F>(&self, time_ns: i64, fits: impl Fn(&Entry) -> bool, choice: &mut Choice<F>)
    where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        for entry in self.next_lives(time_ns).filter(|entry| fits(entry)) {
            choice.add(entry, Rule::Early);
        }
    }

    /// The next life, and those that began before it ended (their namespace is not known).
    fn next_lives(&self, time_ns: i64) -> impl Iterator<Item = &Entry> {
        let next = &self.entries[self.begun(time_ns).len()..];
        let first_end = next.first().map_or(i64::MIN, |entry| entry.end_ns);
        next.iter().take(LOOK_AROUND).take_while(move |entry| entry.start_ns <= first_end)
    }

    /// Without a SYN to go by: within the window, and not past the end of an earlier life, nor an
    /// attempt that is another connection's.
    fn is_just_before(&self, entry: &Entry, time_ns: i64) -> bool {
        let earlier_end = self.begun(time_ns).last().map(|earlier| earlier.latest_end_ns);
        entry.start_ns - time_ns <= self.windows.before_ns
            && earlier_end.is_none_or(|end| end < time_ns)
            && self.would_know(entry, time_ns)
            && !self.is_attempted(earlier_end.unwrap_or(i64::MIN), entry)
    }

    /// Whether between `from_ns` and the life of `entry`, which began with none of the attempts that
    /// are in the capture, there was one.
    fn is_attempted(&self, from_ns: i64, entry: &Entry) -> bool {
        let attempts = self.seen_attempts(entry.start_ns).iter().enumerate().rev();
        let mut since = attempts.take_while(|(_, attempt)| from_ns < attempt.first_ns);
        let may_be_here =
            |position| self.own_syns.whose(self.key, position, entry.lane()) != Whose::Anothers;
        self.key.proto == Proto::TCP && since.any(|(position, _)| may_be_here(position))
    }

    fn life(&self, entry: &Entry) -> Life {
        self.recordings.life_of(entry.conversation)
    }

    /// Whether an earlier life than that of `entry` would be known, had there been one at `time_ns`.
    /// Of the time before a recording, or while rows were lost, nobody knows, but that a TCP socket
    /// that was there at its start must have had a SYN, which would be in the capture.
    fn would_know(&self, entry: &Entry, time_ns: i64) -> bool {
        let life = self.life(entry);
        if life.opened == Kind::Socket && self.key.proto == Proto::TCP {
            return true;
        }
        let host = self.recordings.host(life.host);
        host.recorded_until(time_ns).is_some_and(|until| entry.start_ns <= until)
            && !host.lost_between(i64::MIN, entry.start_ns)
    }

    /// Whether the capture lacks the SYN of a life that begins after `time_ns`.
    fn begins_unseen(&self, time_ns: i64) -> bool {
        self.next_lives(time_ns).any(|entry| self.own_syns.of(entry.conversation).is_none())
    }

    /// Whether one of them begins soon, and the packet may be of it.
    fn is_before_unseen(&self, time_ns: i64) -> bool {
        let soon = time_ns.saturating_add(self.windows.before_ns);
        let mut next = self.next_lives(time_ns).filter(|entry| entry.start_ns <= soon);
        next.any(|entry| self.own_syns.of(entry.conversation).is_none())
    }
}

/// The conversation chosen so far.
struct Choice<F> {
    fit: LaneFit,
    owner: Option<IdentityId>,
    owner_of: F,
}

impl<F: Fn(ConversationId) -> Option<IdentityId>> Choice<F> {
    fn add(&mut self, entry: &Entry, rule: Rule) {
        let owner = (self.owner_of)(entry.conversation);
        match self.fit {
            LaneFit::Nobody => {
                self.fit = LaneFit::One(entry.conversation, rule);
                self.owner = owner;
            }
            LaneFit::One(_, rule) if owner != self.owner => self.fit = LaneFit::Several(rule),
            // One process, several of its sockets: any of them names it.
            LaneFit::One(..) | LaneFit::Several(_) => {}
        }
    }
}

/// Whether one of the lives that began can still be spoken for.
fn lingers(begun: &[Entry], time_ns: i64, after_ns: i64) -> bool {
    begun.last().is_some_and(|earlier| time_ns - earlier.latest_end_ns <= after_ns)
}

/// Whether this packet answers the SYN of `attempt`.
fn acks(tcp: &Tcp, attempt: &Attempt) -> bool {
    tcp.flags & Tcp::ACK != 0 && attempt.is_acked_by(tcp.ack)
}
