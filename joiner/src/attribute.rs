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
use schema::{Endpoint, FiveTuple, FlowKey, Kind, Proto};

use crate::bits::Bits;
use crate::decode::{Origin, Packet};
use crate::events::{HostId, Publication, Recordings};
use crate::index::{Batch, Entry, Flow, Found as Place, Index};
use crate::syn::{Sign, Syn, SynTable};

mod behind;
mod elsewhere;
mod fetch;
mod handed;
mod lanes;
mod listener;
mod lives;
mod own_syn;
mod proxy;
mod publish;
mod reason;
mod role;
mod seen;
mod settle;
mod settled;
mod trace;
mod translate;
mod verdict;

pub(crate) use self::fetch::Fetched;
use self::handed::HandedOver;
use self::lanes::{Fit, Found};
use self::listener::Listeners;
use self::own_syn::OwnSyns;
use self::proxy::Proxies;
use self::publish::Publications;
use self::role::Role;
pub use self::seen::Seen;
pub use self::settled::Span;
pub use self::trace::{Step, Trace};
use self::translate::Translations;
pub use self::verdict::{Holder, SideVerdict, Verdict, Via};

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
    handed_over: HandedOver,
    places: seen::Places,
    windows: Windows,
}

/// The flows whose SYNs matter.
#[derive(Debug)]
pub struct KnownFlows<'a> {
    recordings: &'a Recordings,
    index: Arc<Index>,
    translated: hashbrown::HashSet<FlowKey>,
    /// Numbers of flows of which the capture may have several connections.
    again: Bits,
    publications: Publications,
}

impl<'a> KnownFlows<'a> {
    /// Those of `recordings`, whose conversations `index` has, and of the user's own table.
    #[must_use]
    pub fn new(recordings: &'a Recordings, index: Arc<Index>, table: &[Publication]) -> Self {
        let all = recordings.publications.iter().chain(table).copied().collect();
        let mut again = Bits::up_to(index.numbers());
        for Flow { number, up, down } in index.flows() {
            let is_old = |entry: &Entry| {
                let life = recordings.conversations.life(entry.conversation);
                recordings.lives.opened(life) == Kind::Socket
            };
            if up.len() > 1 || down.len() > 1 || up.iter().chain(down).any(is_old) {
                again.add(position(number));
            }
        }
        Self {
            again,
            recordings,
            index,
            translated: translate::known_flows(&recordings.translations).collect(),
            publications: Publications::new(all),
        }
    }

    /// Keeps those of `syns` that matter. A SYN does if any socket had its tuple, and so does a reset, as it
    /// tells that what a SYN began came to nothing; a FIN, if another one had the tuple, too, or may have
    /// had it before the recording.
    pub fn keep<T>(&self, syns: &mut Vec<(Syn, T)>, batch: &mut Batch) {
        let keys = syns.iter().map(|(syn, _)| syn.tuple.canonical().0);
        self.index.find_all(keys, &self.recordings.conversations, batch);
        let mut found = batch.found().iter();
        syns.retain(|(syn, _)| {
            let is_end = syn.sign == Sign::Fin;
            let place = found.next().copied().flatten();
            let is_known =
                place.is_some_and(|Place { first, .. }| !is_end || self.again.has(position(first)));
            is_known || self.is_translated(syn.tuple, is_end)
        });
    }

    fn is_translated(&self, tuple: FiveTuple, is_end: bool) -> bool {
        (!self.translated.is_empty() && self.translated.contains(&tuple.canonical().0))
            || (!is_end && !self.publications.is_empty() && self.publications.knows(tuple))
    }
}

impl Matcher {
    /// A matcher over `recordings`, with the SYNs of the whole capture, and published ports that
    /// the recordings don't tell of.
    #[must_use]
    pub fn new(
        recordings: Recordings,
        index: Arc<Index>,
        mut syns: Vec<Syn>,
        table: &[Publication],
        windows: Windows,
    ) -> Self {
        let seen = SynTable::from_unordered(&mut syns, &index, &recordings.conversations);
        Self::with_syns(recordings, index, (syns, seen), table, windows)
    }

    /// The same, where the SYNs were sorted out already.
    pub(crate) fn with_syns(
        mut recordings: Recordings,
        index: Arc<Index>,
        (mut syns, seen): (Vec<Syn>, SynTable),
        table: &[Publication],
        windows: Windows,
    ) -> Self {
        let translations = std::mem::take(&mut recordings.translations);
        let attempts = |key: &FlowKey| {
            let place = index.find(key, &recordings.conversations);
            seen.attempts(place.map(|place| place.first), key)
        };
        let translations = Translations::new(translations, attempts, &windows, &recordings.hosts);
        let until_ns = recordings.hosts.iter().flat_map(|host| &host.recorded);
        translations.share(&mut syns, until_ns.map(|&(_, to)| to).max().unwrap_or(i64::MAX));
        let syns = if translations.is_empty() {
            seen
        } else {
            SynTable::from_unordered(&mut syns, &index, &recordings.conversations)
        };
        let own_syns = OwnSyns::assign(&recordings, &index, &syns, windows.before_ns);
        let publications = recordings.publications.iter().chain(table).copied().collect();
        Self {
            own_syns,
            listeners: Listeners::new(&recordings),
            publications: Publications::new(publications),
            proxies: Proxies::new(&recordings),
            handed_over: HandedOver::new(&recordings),
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

    /// Where the conversations of the flow `key` are, if any socket had it.
    #[must_use]
    pub(crate) fn find(&self, key: &FlowKey) -> Option<Place> {
        self.index.find(key, &self.recordings.conversations)
    }

    /// More than the number of any flow, which is [`Place::first`](crate::index::Found::first).
    #[must_use]
    pub fn flow_numbers(&self) -> usize {
        self.index.numbers()
    }

    /// Decides about a packet.
    #[must_use]
    pub fn attribute(&self, packet: &Packet, seen: &Seen<'_>) -> Verdict {
        self.attribute_at(self.find(&packet.tuple.canonical().0), packet, seen)
    }

    /// The same, where the conversations of its flow were looked up already.
    #[must_use]
    pub(crate) fn attribute_at(
        &self,
        place: Option<Place>,
        packet: &Packet,
        seen: &Seen<'_>,
    ) -> Verdict {
        let (key, way) = packet.tuple.canonical();
        let (flow, both) = (place.map(|place| place.first), self.index.ends(place, way));
        let [sender, receiver] = [true, false].map(|sent| {
            let role = Role::new((key, way), flow, packet, seen, sent);
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
        let place = self.find(&key);
        let (flow, both) = (place.map(|place| place.first), self.index.ends(place, way));
        let is_error = matches!(packet.origin, Origin::Error { .. });
        let sent = is_source != is_error;
        let role = Role::new((key, way), flow, packet, seen, sent);
        let verdict = self.side(both[usize::from(!sent)], role, trace);
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
        } else if let Fit::One(Found { owner: None, .. }) = fit
            && role.packet.tuple.proto == Proto::TCP
        {
            // Whose the connection became nobody knows, but the handshake was the listener's.
            fit = self.listening(Proto::TCP, role, trace);
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
            // Which process took it over is among what was lost.
            Fit::One(found) if self.was_lost_within(found) => Reason::InLoss,
            Fit::One(_) | Fit::Nobody => {
                reason::why_nobody(&self.recordings.hosts, role.address, role.seen.time_ns)
            }
        };
        if reason == Reason::Ambiguous {
            trace.step(|| Step::Ambiguous);
        }
        SideVerdict::Unnamed(reason)
    }
}

fn position(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
