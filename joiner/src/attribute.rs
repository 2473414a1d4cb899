//! The policy: which process is at each end of a packet, how sure that is, or why nobody is named.
//! A pure function of the packet and of tables that were complete before the first packet, so that
//! packets can be decided in any order, on any thread.
//!
//! ```text
//! own tuple ─► translated tuples ─► listeners ─► listeners behind translations ─► published ports
//!   └ each: lives of every lane (settle) ─► which lane (lanes)        named ─► what is behind (proxy)
//! ```

use std::sync::Arc;

use schema::annotation::{Match, Reason, Rule};
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey, Proto};

use crate::decode::{Origin, Packet, Tcp};
use crate::events::{
    ContainerId, ConversationId, HostId, IdentityId, LifeId, Listener, NamespaceId, Publication,
    Recordings, Tenant,
};
use crate::index::{Entry, Index, lanes};
use crate::syn::{Syn, SynTable};

mod lanes;
mod listener;
mod own_syn;
mod proxy;
mod publish;
mod reason;
mod seen;
mod settle;
mod trace;
mod translate;
mod verdict;

use self::lanes::{Chooser, Fit, Found};
use self::listener::{Listeners, Wanted};
use self::own_syn::OwnSyns;
use self::proxy::{Far, Leg, Proxies};
use self::publish::Publications;
pub use self::seen::Seen;
use self::settle::{End, LaneFit};
pub use self::trace::{Step, Trace};
use self::translate::{Translations, View};
pub use self::verdict::{Holder, SideVerdict, Verdict, Via};

/// How often, in halves of what is left each time, a connection is looked at to find its other end.
const LOOKS: u32 = 16;

/// How far beyond its rows a life reaches, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Before the first row, where the capture has no SYN.
    pub before_ns: i64,
    /// After the close of a TCP socket: the kernel still speaks for it.
    pub after_ns: i64,
    /// After the close of a UDP socket, for what it sent: clock slack only.
    pub after_udp_ns: i64,
}

impl Default for Windows {
    fn default() -> Self {
        Self { before_ns: 5_000_000_000, after_ns: 60_000_000_000, after_udp_ns: 200_000_000 }
    }
}

/// Everything that decides about a packet.
#[derive(Debug)]
pub struct Matcher {
    recordings: Recordings,
    index: Arc<Index>,
    syns: SynTable,
    own_syns: OwnSyns,
    listeners: Listeners,
    translations: Translations,
    publications: Publications,
    proxies: Proxies,
    places: seen::Places,
    windows: Windows,
}

/// The flows whose SYNs matter.
#[derive(Debug)]
pub struct KnownFlows {
    index: Arc<Index>,
    translated: hashbrown::HashSet<FlowKey>,
    publications: Publications,
}

impl KnownFlows {
    /// Those of `recordings`, whose conversations `index` has, and of the user's own table.
    #[must_use]
    pub fn new(recordings: &Recordings, index: Arc<Index>, table: &[Publication]) -> Self {
        let all = recordings.publications.iter().chain(table).copied().collect();
        Self {
            index,
            translated: translate::known_flows(&recordings.translations).collect(),
            publications: Publications::new(all),
        }
    }

    /// Whether a SYN of this tuple matters.
    #[must_use]
    pub fn contains(&self, tuple: FiveTuple) -> bool {
        self.index.knows(tuple)
            || (!self.translated.is_empty() && self.translated.contains(&tuple.canonical().0))
            || (!self.publications.is_empty() && self.publications.knows(tuple))
    }
}

impl Matcher {
    /// A matcher over `recordings`, with the SYNs of the whole capture, and published ports that
    /// the recordings don't tell of.
    #[must_use]
    pub fn new(
        mut recordings: Recordings,
        index: Arc<Index>,
        mut syns: Vec<Syn>,
        table: &[Publication],
        windows: Windows,
    ) -> Self {
        let translations = std::mem::take(&mut recordings.translations);
        let seen = SynTable::from_unordered(syns.clone());
        let translations = Translations::new(translations, &seen, &windows);
        let until_ns = recordings.hosts.iter().flat_map(|host| &host.recorded);
        translations.share(&mut syns, until_ns.map(|&(_, to)| to).max().unwrap_or(i64::MAX));
        let syns = if translations.is_empty() { seen } else { SynTable::from_unordered(syns) };
        let own_syns = OwnSyns::assign(&recordings, &index, &syns, windows.before_ns);
        let publications = recordings.publications.iter().chain(table).copied().collect();
        Self {
            own_syns,
            listeners: Listeners::new(&recordings),
            publications: Publications::new(publications),
            proxies: Proxies::new(&recordings),
            recordings,
            index,
            syns,
            translations,
            places: seen::Places::default(),
            windows,
        }
    }

    /// The same, where packets were captured on `host` unless they say otherwise.
    #[must_use]
    pub fn captured_on(mut self, host: Option<HostId>) -> Self {
        self.places.host = host;
        self
    }

    /// The recordings it decides by.
    #[must_use]
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }

    /// Decides about a packet.
    #[must_use]
    pub fn attribute(&self, packet: &Packet, seen: &Seen<'_>) -> Verdict {
        let (key, way) = packet.tuple.canonical();
        let both = self.index.both_ends(&key, way);
        let [sender, receiver] = [true, false].map(|sent| {
            let role = Role::new((key, way), packet, seen, sent);
            self.side(both[usize::from(!sent)], role, &mut ())
        });
        match packet.origin {
            Origin::Own | Origin::Fragment => Verdict { src: sender, dst: receiver },
            // It goes back to who sent what it is about.
            Origin::Error { reporter } => {
                Verdict { src: self.reporting(packet, reporter, receiver, seen), dst: sender }
            }
        }
    }

    /// Decides about one end of a packet, and tells how.
    pub fn explain(
        &self,
        packet: &Packet,
        seen: &Seen<'_>,
        is_source: bool,
        trace: &mut impl Trace,
    ) -> SideVerdict {
        let (key, way) = packet.tuple.canonical();
        let both = self.index.both_ends(&key, way);
        let is_error = matches!(packet.origin, Origin::Error { .. });
        let sent = is_source != is_error;
        let verdict =
            self.side(both[usize::from(!sent)], Role::new((key, way), packet, seen, sent), trace);
        match packet.origin {
            Origin::Error { reporter } if is_source => {
                self.reporting(packet, reporter, verdict, seen)
            }
            _ => verdict,
        }
    }

    /// Who reports an error: the receiver of what it is about, unless it comes from somewhere on the
    /// way, where no process speaks.
    fn reporting(
        &self,
        packet: &Packet,
        reporter: Endpoint,
        receiver: SideVerdict,
        seen: &Seen<'_>,
    ) -> SideVerdict {
        if reporter.mapped() == packet.tuple.dst.mapped() {
            return receiver;
        }
        let hosts = &self.recordings.hosts;
        SideVerdict::Unnamed(reason::why_nobody(hosts, reporter, seen.time_ns))
    }

    fn side(&self, entries: &[Entry], role: Role<'_>, trace: &mut impl Trace) -> SideVerdict {
        trace.step(|| Step::Tuple(role.packet.tuple, 0));
        let mut fit = self.lives(entries, role, trace);
        let mut nat = false;
        if fit.is_nobody() {
            (fit, nat) = self.elsewhere(role, trace);
        } else if role.packet.tuple.proto == Proto::UDP {
            fit = self.unless_bound(fit, role, trace);
        }
        let reason = match fit {
            Fit::One(Found { holder: Some(holder), owner: Some(owner), rule, .. }) => {
                let is_own = role.packet.origin == Origin::Own;
                let found = Match { nat, rule: if is_own { rule } else { Rule::Related } };
                let via = self.via(holder, owner, role.seen.time_ns);
                let owner = self.recordings.identity_at(owner, role.seen.time_ns);
                return SideVerdict::Named { holder, owner, found, via };
            }
            Fit::Several => Reason::Ambiguous,
            Fit::One(_) | Fit::Nobody => {
                reason::why_nobody(&self.recordings.hosts, role.address, role.seen.time_ns)
            }
        };
        if reason == Reason::Ambiguous {
            trace.step(|| Step::Ambiguous);
        }
        SideVerdict::Unnamed(reason)
    }

    /// A datagram that precedes a socket's first row is not that socket's where another one has the
    /// port.
    fn unless_bound(&self, fit: Fit, role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let Fit::One(Found { rule: Rule::Early, owner, .. }) = fit else { return fit };
        match self.listening(Proto::UDP, role, trace) {
            Fit::Nobody => fit,
            Fit::One(bound) if bound.owner == owner => fit,
            bound => bound,
        }
    }

    /// Who has the end, if none of the lives with the packet's own tuple; and whether through a
    /// translation.
    #[cold]
    fn elsewhere(&self, role: Role<'_>, trace: &mut impl Trace) -> (Fit, bool) {
        let views = match self.translations.is_empty() {
            true => vec![],
            false => self.translations.views(role.packet.tuple, role.seen.time_ns),
        };
        for hops in views.chunk_by(|a, b| a.hops == b.hops) {
            let found = hops.iter().map(|view| {
                trace.step(|| Step::Tuple(view.tuple, view.hops));
                self.lives_of(view.tuple, role.behind(view), trace)
            });
            let fit = self.join(found.collect(), role);
            if !fit.is_nobody() && !self.is_taken_again(fit, role) {
                return (fit, true);
            }
        }
        let end = role.local();
        let proto = role.packet.tuple.proto;
        let is_translated = views.iter().any(|view| role.with(view.tuple).local() != end);
        if is_translated {
            trace.step(|| Step::ListenersTranslated);
            for view in &views {
                let fit = self.listening(proto, role.behind(view).with(view.tuple), trace);
                if !fit.is_nobody() {
                    return (fit, true);
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
    fn is_taken_again(&self, fit: Fit, role: Role<'_>) -> bool {
        let Fit::One(Found { rule: Rule::Late, holder: Some(Holder::Conversation(id)), .. }) = fit
        else {
            return false;
        };
        let end_ns = self.recordings.life(self.recordings.conversation(id).life).end_ns;
        let since = end_ns..=role.seen.time_ns;
        self.syns.attempts(&role.key).iter().any(|attempt| since.contains(&attempt.first_ns))
    }

    fn is_published(&self, proto: Proto, end: Endpoint, role: Role<'_>) -> bool {
        let time_ns = role.seen.time_ns;
        self.publications.covering(&self.recordings, proto, end, time_ns).next().is_some()
    }

    /// One of several fits of different tuples.
    fn join(&self, fits: Vec<Fit>, role: Role<'_>) -> Fit {
        if fits.contains(&Fit::Several) {
            return Fit::Several;
        }
        let found = fits.into_iter().filter_map(|fit| match fit {
            Fit::One(found) => Some(found),
            _ => None,
        });
        self.chooser(role).choose(found.collect())
    }

    fn listening(&self, proto: Proto, role: Role<'_>, trace: &mut impl Trace) -> Fit {
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
        if !is_its && self.lingers(role) {
            return Fit::Nobody;
        }
        let wanted = Wanted { proto, local, sent: role.sent, is_its };
        let fit = self.listeners.find(wanted, &self.windows, &self.chooser(role), owner);
        if let Fit::One(Found { holder: Some(holder), lane, rule, .. }) = fit {
            trace.step(|| Step::Candidate(holder, lane, Some(rule)));
        }
        fit
    }

    /// Whether a connection of the same tuple may still be spoken for.
    fn lingers(&self, role: Role<'_>) -> bool {
        let [senders, receivers] = self.index.both_ends(&role.key, role.way);
        let time_ns = role.seen.time_ns;
        let since_ns = time_ns.saturating_sub(self.windows.after_ns);
        let entries = if role.sent { senders } else { receivers };
        entries.iter().any(|entry| entry.start_ns <= time_ns && since_ns <= entry.end_ns)
    }

    fn chooser<'a>(&'a self, role: Role<'a>) -> Chooser<'a> {
        Chooser {
            recordings: &self.recordings,
            places: &self.places,
            seen: role.seen,
            address: role.address,
            translated: role.translated,
        }
    }

    /// Who has the end of the packet, had it the tuple `tuple`.
    fn lives_of(&self, tuple: FiveTuple, role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let role = role.with(tuple);
        let [senders, receivers] = self.index.both_ends(&role.key, role.way);
        self.lives(if role.sent { senders } else { receivers }, role, trace)
    }

    /// Rules one to three: the lives `entries` with the packet's tuple, and those of sockets that are
    /// bound to its port on every address.
    fn lives(&self, entries: &[Entry], role: Role<'_>, trace: &mut impl Trace) -> Fit {
        let fit = self.lives_in(entries, role, false, trace);
        if !fit.is_nobody() || role.packet.tuple.proto != Proto::UDP {
            return fit;
        }
        let (local, remote) = role.ends();
        let bound = self.index.wildcard(Proto::UDP, local.port(), remote);
        self.lives_in(bound, role, true, trace)
    }

    #[inline]
    fn lives_in(
        &self,
        entries: &[Entry],
        role: Role<'_>,
        is_wildcard: bool,
        trace: &mut impl Trace,
    ) -> Fit {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Fit::Nobody;
        };
        if first.lane == last.lane && !first.is_contested {
            return self.lane(entries, role, trace).map_or(Fit::Nobody, |found| match found {
                Found { holder: None, .. } => Fit::Several,
                found => Fit::One(found),
            });
        }
        let chooser = self.chooser(role);
        let mut found = vec![];
        for lane in lanes(entries) {
            if lane[0].is_contested && !chooser.is_possible(lane[0].lane, is_wildcard) {
                trace.step(|| Step::Elsewhere(lane[0].lane));
            } else if let Some(fits) = self.lane(lane, role, trace) {
                found.push(fits);
            }
        }
        if found.len() > 1 {
            let place = || self.places.namespace(&self.recordings, &role.seen);
            trace.step(|| Step::Place(place()));
        }
        chooser.choose(found)
    }

    /// What fits in one lane.
    #[inline]
    fn lane(&self, entries: &[Entry], role: Role<'_>, trace: &mut impl Trace) -> Option<Found> {
        let time_ns = role.seen.time_ns;
        let end = End {
            recordings: &self.recordings,
            entries,
            key: &role.key,
            syns: &self.syns,
            own_syns: &self.own_syns,
            windows: self.windows,
            way: role.way,
            sent: role.sent,
        };
        let lane = entries[0].lane;
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
    fn owner(&self, conversation: ConversationId, time_ns: i64) -> Option<IdentityId> {
        let conversation = self.recordings.conversation(conversation);
        self.recordings
            .handed_over(conversation.life, time_ns)
            .or(conversation.owner)
            .or(self.recordings.life(conversation.life).owner)
    }

    /// Whom the process forwards for.
    fn via(&self, holder: Holder, owner: IdentityId, time_ns: i64) -> Via {
        if self.proxies.is_empty() {
            return Via::Nobody;
        }
        let life = match holder {
            Holder::Conversation(id) => self.recordings.conversation(id).life,
            Holder::Listener(id) => self.recordings.listeners[position(id)].life,
        };
        let Some(Far { leg, other, target }) = self.proxies.behind(&self.recordings, life, owner)
        else {
            return Via::Nobody;
        };
        let container = match leg {
            Leg::Front => target.and_then(|target| self.container_at(target, time_ns)),
            Leg::Back => None,
        };
        let Some(other) = other else { return Via::Container(container, Reason::Ambiguous) };
        match self.at_the_far_end(other, time_ns) {
            Some((owner, nat)) => {
                Via::Process { owner: self.recordings.identity_at(owner, time_ns), nat }
            }
            // A client on another machine.
            None if leg == Leg::Back => Via::Nobody,
            None => Via::Container(container, Reason::NoSocket),
        }
    }

    /// The process that `life` is connected to, and whether through a translation.
    fn at_the_far_end(&self, life: LifeId, time_ns: i64) -> Option<(IdentityId, bool)> {
        let conversation = self.recordings.conversation(self.proxies.conversation(life)?);
        let this = self.recordings.life(life);
        let end_ns = this.end_ns.min(this.sure_ns);
        // Who is there does not change while the connection lasts. Half way through, both its ends
        // are open, and another connection's of the same tuple are not; nearer to its end, where the
        // SYN had to be sent again, or to its start, where this end stayed behind.
        let is_within = (this.start_ns + 1..end_ns).contains(&time_ns);
        let tuple = conversation.tuple;
        let packet = Packet::of(tuple);
        let look = |at_ns| {
            let seen = Seen::at(at_ns);
            let role = Role::new(tuple.canonical(), &packet, &seen, false);
            // An address of the host's own is so where the proxy is.
            let role = Role { translated: this.namespace, ..role };
            match self.lives_of(tuple, role, &mut ()) {
                Fit::Nobody => self.elsewhere(role, &mut ()),
                fit => (fit, false),
            }
        };
        let length_ns = end_ns.saturating_sub(this.start_ns);
        let nearer = || (1..=LOOKS).map(|look| length_ns >> look);
        let to_end = nearer().map(|left| end_ns - left);
        let to_start = nearer().map(|gone| this.start_ns + gone);
        let is_open = |&(at_ns, (fit, _)): &(i64, (Fit, bool))| match fit {
            Fit::One(Found {
                rule: Rule::Exact, holder: Some(Holder::Conversation(id)), ..
            }) => {
                let far = self.recordings.life(self.recordings.conversation(id).life);
                at_ns <= far.sure_ns
            }
            _ => false,
        };
        let moments = to_end.chain(is_within.then_some(time_ns)).chain(to_start);
        let open = moments.map(|at_ns| (at_ns, look(at_ns))).find(is_open);
        let listening = || {
            let half_way = look(this.start_ns.midpoint(end_ns));
            matches!(half_way.0, Fit::One(found) if found.rule == Rule::Listener)
                .then_some(half_way)
        };
        let (fit, nat) = open.map(|(_, found)| found).or_else(listening)?;
        let Fit::One(found) = fit else { return None };
        let owner = match found.holder? {
            Holder::Conversation(far) => {
                self.owner(far, time_ns.max(this.start_ns).min(this.end_ns))
            }
            Holder::Listener(_) => found.owner,
        };
        owner.map(|owner| (owner, nat))
    }

    /// The container that has an address.
    fn container_at(&self, (proto, end): (Proto, Endpoint), time_ns: i64) -> Option<ContainerId> {
        match self.recordings.places.tenant(end, time_ns) {
            Tenant::One(tenure) if tenure.container.is_some() => tenure.container,
            _ => self.publications.leading_to(proto, end)?.container,
        }
    }
}

/// One end of one packet.
#[derive(Clone, Copy)]
struct Role<'a> {
    /// The tuple by which sockets are looked for: the packet's, or one of its translations.
    key: FlowKey,
    /// The way the packet goes.
    way: Way,
    packet: &'a Packet,
    seen: Seen<'a>,
    /// Whether this is the sending end.
    sent: bool,
    /// The address at this end.
    address: Endpoint,
    /// Where it was translated, if it was.
    translated: Option<NamespaceId>,
}

impl<'a> Role<'a> {
    fn new((key, way): (FlowKey, Way), packet: &'a Packet, seen: &Seen<'a>, sent: bool) -> Self {
        let address = if sent { packet.tuple.src } else { packet.tuple.dst };
        Self { key, way, packet, seen: *seen, sent, address, translated: None }
    }

    /// This end, then the other one.
    fn ends(&self) -> (Endpoint, Endpoint) {
        let FiveTuple { src, dst, .. } = self.key.tuple(self.way);
        if self.sent { (src, dst) } else { (dst, src) }
    }

    /// This end.
    fn local(&self) -> Endpoint {
        self.ends().0
    }

    /// The same end, where the packet was translated.
    fn behind(self, view: &View) -> Self {
        Self { translated: view.namespace, ..self }
    }

    /// The same end, had the packet this tuple.
    fn with(self, tuple: FiveTuple) -> Self {
        let (key, way) = tuple.canonical();
        let address = if self.sent { tuple.src } else { tuple.dst };
        Self { key, way, address, ..self }
    }
}

fn position(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
