//! The first three rules, in every namespace and on every host that has the tuple.

use schema::annotation::Rule;
use schema::{FiveTuple, Kind, Proto};

use super::Matcher;
use super::lanes::{Chooser, Fit, Found};
use super::role::Role;
use super::settle::{End, LaneFit};
use super::trace::{Step, Trace};
use super::verdict::Holder;
use crate::events::{ConversationId, IdentityId};
use crate::index::{Entry, lanes};

impl Matcher {
    /// The number of the flow of `tuple`, if any socket had it.
    pub(super) fn flow_of(&self, tuple: FiveTuple) -> Option<u32> {
        self.find(&tuple.canonical().0).map(|place| place.first)
    }

    pub(super) fn chooser<'a>(&'a self, role: Role<'a>) -> Chooser<'a> {
        Chooser {
            recordings: &self.recordings,
            places: &self.places,
            seen: role.seen,
            address: role.address,
            translated: role.translated,
        }
    }

    /// Who has the end of the packet, had it the tuple `tuple`.
    pub(super) fn lives_of(&self, tuple: FiveTuple, role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let place = self.find(&tuple.canonical().0);
        let role = role.with(tuple, place.map(|place| place.first));
        let [senders, receivers] = self.index.ends(place, role.way);
        self.lives(if role.sent { senders } else { receivers }, role, trace)
    }

    /// Rules one to three: the lives `entries` with the packet's tuple, and those of sockets that are
    /// bound to its port on every address.
    pub(super) fn lives(&self, entries: &[Entry], role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let fit = self.lives_in(entries, role, false, trace);
        if role.packet.tuple.proto != Proto::UDP || fit == Fit::Several {
            return fit;
        }
        let (local, remote) = role.ends();
        let bound = self.index.wildcard(Proto::UDP, local.port(), remote);
        if let Fit::One(own @ Found { rule: Rule::Exact, .. }) = fit {
            return self.unless_anothers(own, [entries, bound], role, trace);
        }
        // Ports are another socket's within a millisecond: one that is open goes before those that
        // are not yet, or no more.
        let wild = self.lives_in(bound, role, true, trace);
        let fit = match (fit, wild) {
            (_, Fit::One(wild @ Found { rule: Rule::Exact, .. })) => {
                return self.unless_anothers(wild, [entries, bound], role, trace);
            }
            (Fit::Nobody, wild) => wild,
            (fit, Fit::Nobody) => fit,
            (Fit::One(own), Fit::One(wild)) if own.owner == wild.owner => Fit::One(own),
            // One that is bound now goes before what was, or will be.
            _ => match self.listening(Proto::UDP, role, trace) {
                Fit::One(bound) => Fit::One(bound),
                Fit::Nobody | Fit::Several => Fit::Several,
            },
        };
        self.unless_bound(fit, role, trace)
    }

    /// The open UDP socket `own`, unless the packet may as well be of another namespace that has the
    /// address: of a socket there, or for one that is closed by now. No handshake tells them apart.
    fn unless_anothers(
        &self,
        own: Found,
        lives: [&[Entry]; 2],
        role: Role<'_>,
        trace: &mut impl Trace,
    ) -> Fit {
        let chooser = self.chooser(role);
        if let Some(Holder::Conversation(id)) = own.holder
            && role.seen.time_ns < self.sure_from(id)
        {
            // Before it is known to talk to this peer, another socket of the port may have.
            match self.listening_in(Some(own.lane), Proto::UDP, role, trace) {
                Fit::Several => return Fit::Several,
                Fit::One(bound) if bound.owner != own.owner => return Fit::Several,
                Fit::One(_) | Fit::Nobody => {}
            }
        }
        if !chooser.may_be_anothers() {
            return Fit::One(own);
        }
        let time_ns = role.seen.time_ns;
        let mut found = vec![own];
        for (entries, is_wildcard) in lives.into_iter().zip([false, true]) {
            for lane in lanes(entries) {
                let there = self.index.lane(lane[0].lane());
                if there == own.lane || !chooser.is_possible(there, is_wildcard) {
                    continue;
                }
                let is_awaited = |entry: &Entry| {
                    (entry.end_ns..=entry.end_ns.saturating_add(self.windows.after_ns))
                        .contains(&time_ns)
                };
                if !role.sent && lane.iter().any(is_awaited) {
                    return Fit::Several;
                }
                found.extend(self.lane(lane, role, trace));
            }
        }
        chooser.choose(found)
    }

    #[inline]
    pub(super) fn lives_in(
        &self,
        entries: &[Entry],
        role: Role<'_>,
        is_wildcard: bool,
        trace: &mut impl Trace,
    ) -> Fit {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Fit::Nobody;
        };
        if first.lane() == last.lane() && !first.is_contested() {
            return self.lane(entries, role, trace).map_or(Fit::Nobody, |found| match found {
                Found { holder: None, .. } => Fit::Several,
                found => Fit::One(found),
            });
        }
        let chooser = self.chooser(role);
        let mut found = vec![];
        for lane in lanes(entries) {
            if lane[0].is_contested()
                && !chooser.is_possible(self.index.lane(lane[0].lane()), is_wildcard)
            {
                trace.step(|| Step::Elsewhere(self.index.lane(lane[0].lane())));
            } else if let Some(fits) = self.lane(lane, role, trace) {
                found.push(fits);
            }
        }
        if found.len() > 1 {
            let place = || self.places.namespace(&self.recordings, &role.seen);
            trace.step(|| Step::Place(place()));
        }
        match chooser.choose(found) {
            // What was lost may be the other's.
            Fit::One(found) if self.was_lost(found, role) && chooser.may_be_anothers() => {
                Fit::Several
            }
            fit => fit,
        }
    }

    /// From when on it is known that the socket talks to its peer.
    pub(super) fn sure_from(&self, id: ConversationId) -> i64 {
        let conversation = self.recordings.conversation(id);
        match conversation.opened {
            Kind::UdpSend | Kind::UdpRecv => conversation.opened_ns,
            _ => i64::MIN,
        }
    }

    /// Whether rows were lost while the socket that was found was there.
    pub(super) fn was_lost_within(&self, found: Found) -> bool {
        let Some(Holder::Conversation(id)) = found.holder else { return false };
        let life = self.recordings.life_of(id);
        let host = self.recordings.host(life.host);
        host.lost_between(life.start_ns, life.end_ns)
    }

    /// Whether rows were lost up to the packet.
    fn was_lost(&self, found: Found, role: Role<'_>) -> bool {
        let host = self.recordings.host(found.lane.host);
        host.lost_between(i64::MIN, role.seen.time_ns)
    }

    /// What fits in one lane.
    #[inline]
    pub(super) fn lane(
        &self,
        entries: &[Entry],
        role: Role<'_>,
        trace: &mut impl Trace,
    ) -> Option<Found> {
        let time_ns = role.seen.time_ns;
        let end = End {
            recordings: &self.recordings,
            entries,
            key: &role.key,
            attempts: self.syns.attempts(role.flow, &role.key),
            own_syns: &self.own_syns,
            windows: self.windows,
            way: role.way,
            sent: role.sent,
        };
        let lane = self.index.lane(entries[0].lane());
        let fit =
            end.settle(role.packet, time_ns, |conversation| self.owner(conversation, time_ns));
        for entry in entries {
            let is_it = |found: ConversationId| found == entry.conversation;
            let rule = match fit {
                LaneFit::One(found, rule) if is_it(found) => Some(rule),
                _ => None,
            };
            trace.step(|| Step::Candidate(Holder::Conversation(entry.conversation), lane, rule));
        }
        match fit {
            LaneFit::One(conversation, rule) => Some(Found {
                holder: Some(Holder::Conversation(conversation)),
                owner: self.owner(conversation, time_ns),
                rule,
                lane,
            }),
            LaneFit::Several(rule) => Some(Found { holder: None, owner: None, rule, lane }),
            LaneFit::Nobody => None,
        }
    }

    /// Who is at the local end of `conversation` at `time_ns`.
    pub(super) fn owner(&self, conversation: ConversationId, time_ns: i64) -> Option<IdentityId> {
        let conversation = self.recordings.conversation(conversation);
        let life = conversation.life;
        let handed = self.handed_over.has(life).then(|| self.recordings.handed_over(life, time_ns));
        handed.flatten().or(conversation.owner).or_else(|| self.recordings.lives.owner(life))
    }

    /// Who holds it at `time_ns`, as that process is by then.
    pub(crate) fn holder_at(&self, holder: Holder, time_ns: i64) -> Option<IdentityId> {
        let owner = match holder {
            Holder::Conversation(id) => self.owner(id, time_ns),
            Holder::Listener(id) => {
                let life = self.recordings.listener(id).life;
                let handed = self.recordings.handed_over(life, time_ns);
                handed.or_else(|| self.recordings.lives.owner(life))
            }
        };
        owner.map(|id| self.recordings.identity_at(id, time_ns))
    }
}
