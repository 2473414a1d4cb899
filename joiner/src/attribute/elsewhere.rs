//! The fourth and the fifth rule: where none of the lives with the packet's own tuple fits, those behind
//! translations, and who listens.

use schema::annotation::Rule;
use schema::{Endpoint, Proto};

use super::Matcher;
use super::lanes::{Fit, Found};
use super::listener::Wanted;
use super::role::Role;
use super::trace::{Step, Trace};
use super::verdict::Holder;
use crate::decode::Tcp;
use crate::events::Listener;
use crate::index::Lane;
use crate::syn::Sign;

impl Matcher {
    /// A datagram that precedes a socket's first row, or follows its close, is not that socket's where
    /// another one has the port.
    pub(super) fn unless_bound(&self, fit: Fit, role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let Fit::One(Found { rule: Rule::Early | Rule::Late, owner, .. }) = fit else { return fit };
        match self.listening(Proto::UDP, role, trace) {
            Fit::Nobody => fit,
            Fit::One(bound) if bound.owner == owner => fit,
            bound => bound,
        }
    }

    /// Who has the end, if none of the lives with the packet's own tuple; and whether through a
    /// translation.
    #[cold]
    pub(super) fn elsewhere(&self, role: Role<'_>, trace: &mut impl Trace) -> (Fit, bool) {
        let views = match self.translations.is_empty() {
            true => vec![],
            false => self.translations.views(role.packet.tuple, role.seen.time_ns),
        };
        // Which of two translations held is told by none of what they lead to.
        let is_sure = views.iter().all(|view| view.is_sure);
        let told = |fit, is_sure| if is_sure { (fit, true) } else { (Fit::Several, false) };
        for hops in views.chunk_by(|a, b| a.hops == b.hops) {
            let found = hops.iter().map(|view| {
                trace.step(|| Step::Tuple(view.tuple, view.hops));
                self.lives_of(view.tuple, role.behind(view), trace)
            });
            let fit = self.join(found.collect(), role);
            if !fit.is_nobody() && !self.is_taken_again(fit, role) {
                return told(fit, is_sure);
            }
        }
        let end = role.local();
        let proto = role.packet.tuple.proto;
        // Who listens on an address that only stands for another one is not meant.
        let stands_in = |tuple| self.translations.stands_in(tuple, role.sent, role.seen.time_ns);
        if !views.is_empty() && stands_in(role.packet.tuple) {
            trace.step(|| Step::ListenersTranslated);
            for view in &views {
                let fit = self.listening(
                    proto,
                    role.behind(view).with(view.tuple, self.flow_of(view.tuple)),
                    trace,
                );
                if !fit.is_nobody() {
                    let is_sure = is_sure && views.iter().all(|view| view.is_whole);
                    return told(fit, is_sure);
                }
            }
            return (Fit::Nobody, false);
        }
        let is_covered = views.is_empty() && !self.publications.is_empty();
        if is_covered {
            trace.step(|| Step::Publications);
            let time_ns = role.seen.time_ns;
            let views = self.publications.views(&self.recordings, role.packet.tuple, time_ns);
            let found = views.into_iter().map(|tuple| {
                trace.step(|| Step::Tuple(tuple, 1));
                self.lives_of(tuple, role, trace)
            });
            let fit = self.join(found.collect(), role);
            if !fit.is_nobody() {
                return (fit, true);
            }
        }
        let fit = self.listening(proto, role, trace);
        if is_covered && !fit.is_nobody() && self.is_published(proto, end, role) {
            trace.step(|| Step::PublishedOnly);
            return (Fit::Several, false);
        }
        (fit, false)
    }

    /// Whether the tuple that a packet has on its way became another connection's after the one that
    /// was found behind a translation was over.
    pub(super) fn is_taken_again(&self, fit: Fit, role: Role<'_>) -> bool {
        let Fit::One(Found { rule: Rule::Late, holder: Some(Holder::Conversation(id)), .. }) = fit
        else {
            return false;
        };
        let end_ns = self.recordings.life_of(id).end_ns;
        let since = end_ns..=role.seen.time_ns;
        self.syns
            .attempts(role.flow, &role.key)
            .iter()
            .any(|attempt| since.contains(&attempt.first_ns))
    }

    pub(super) fn is_published(&self, proto: Proto, end: Endpoint, role: Role<'_>) -> bool {
        let time_ns = role.seen.time_ns;
        self.publications.covering(&self.recordings, proto, end, time_ns).next().is_some()
    }

    /// One of several fits of different tuples.
    pub(super) fn join(&self, fits: Vec<Fit>, role: Role<'_>) -> Fit {
        if fits.contains(&Fit::Several) {
            return Fit::Several;
        }
        let found = fits.into_iter().filter_map(|fit| match fit {
            Fit::One(found) => Some(found),
            _ => None,
        });
        self.chooser(role).choose(found.collect())
    }

    pub(super) fn listening(&self, proto: Proto, role: Role<'_>, trace: &mut impl Trace) -> Fit {
        self.listening_in(None, proto, role, trace)
    }

    /// Who listens there, in one place alone if `only` tells which.
    pub(super) fn listening_in(
        &self,
        only: Option<Lane>,
        proto: Proto,
        role: Role<'_>,
        trace: &mut impl Trace,
    ) -> Fit {
        let local = role.local();
        if !self.listeners.knows(proto, local.port()) {
            return Fit::Nobody;
        }
        trace.step(|| Step::Listeners);
        let owner = |listener: &Listener| {
            let handed = self.recordings.handed_over(listener.life, role.seen.time_ns);
            handed.or(self.recordings.life(listener.life).owner)
        };
        // Of a TCP listener's is the handshake. Whatever else comes to its port is another socket's, of
        // a process that need not be who listens, unless it is known that there is none.
        let is_handshake = |tcp: &Tcp| if role.sent { tcp.is_syn_ack() } else { tcp.is_syn() };
        let is_its = proto != Proto::TCP || role.packet.tcp.as_ref().is_some_and(is_handshake);
        let refuses = role.packet.tcp.as_ref().and_then(Sign::of).is_some_and(Sign::is_refusal);
        if !is_its && (refuses || self.lingers(role)) {
            return Fit::Nobody;
        }
        let wanted = Wanted { proto, local, sent: role.sent, is_its, only };
        let fit = self.listeners.find(wanted, &self.windows, &self.chooser(role), owner);
        if let Fit::One(Found { holder: Some(holder), lane, rule, .. }) = fit {
            trace.step(|| Step::Candidate(holder, lane, Some(rule)));
        }
        fit
    }

    /// Whether a connection of the same tuple may still be spoken for.
    pub(super) fn lingers(&self, role: Role<'_>) -> bool {
        let [senders, receivers] = self.index.ends(self.find(&role.key), role.way);
        let time_ns = role.seen.time_ns;
        let since_ns = time_ns.saturating_sub(self.windows.after_ns);
        let entries = if role.sent { senders } else { receivers };
        entries.iter().any(|entry| entry.start_ns <= time_ns && since_ns <= entry.end_ns)
    }
}
