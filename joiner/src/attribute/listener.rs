//! The fourth rule: only the local endpoint is known. A socket that listens, or a UDP socket without
//! a fixed peer, takes what comes to its port, if the address is its namespace's.

use hashbrown::HashMap;

use schema::annotation::Rule;
use schema::{Endpoint, Kind, Proto};

use super::Windows;
use super::lanes::{Chooser, Fit, Found};
use super::verdict::Holder;
use crate::events::{IdentityId, Listener, Recordings};
use crate::index::Lane;

/// All listeners, by protocol and port.
#[derive(Debug, Default)]
pub(super) struct Listeners(HashMap<(Proto, u16), Vec<u32>>);

/// How closely a listener's address fits: the kernel prefers the closer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Address,
    AnyV4,
    Any,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) proto: Proto,
    /// Where the packet came from, or went to.
    pub(super) local: Endpoint,
    /// Whether it came from there.
    pub(super) sent: bool,
    /// Whether it is a listener's for sure, and not another socket's that had a row of its own.
    pub(super) is_its: bool,
    /// Where alone, if not everywhere.
    pub(super) only: Option<Lane>,
}

impl Listeners {
    pub(super) fn new(recordings: &Recordings) -> Self {
        let mut listeners = Self::default();
        for (id, listener) in (0..).zip(&recordings.listeners) {
            let key = (listener.proto, listener.local.port());
            listeners.0.entry(key).or_default().push(id);
        }
        listeners
    }

    /// Whether anything listens on this port anywhere.
    pub(super) fn knows(&self, proto: Proto, port: u16) -> bool {
        self.0.contains_key(&(proto, port))
    }

    /// Whether anybody who ever listened may be found for `local`, whatever else is known of a packet.
    pub(super) fn may_have(&self, recordings: &Recordings, proto: Proto, local: Endpoint) -> bool {
        let ids = self.0.get(&(proto, local.port())).map_or(&[][..], Vec::as_slice);
        let places = &recordings.places;
        // An address that no namespace ever had is no wildcard's where addresses are known.
        let is_elsewhere = !local.is_loopback()
            && !super::lanes::is_for_all(local)
            && !places.is_shared(None, local);
        ids.iter().map(|&id| &recordings.listeners[super::position(id)]).any(|listener| {
            let namespace = recordings.life(listener.life).namespace;
            let is_listed = namespace.is_some_and(|id| places.namespace(id).is_listed);
            match closeness(listener, local) {
                None => false,
                Some(Closeness::Address) => true,
                Some(Closeness::AnyV4 | Closeness::Any) => !(is_elsewhere && is_listed),
            }
        })
    }

    /// Who listens there; the address a packet has there is the chooser's.
    pub(super) fn find(
        &self,
        wanted: Wanted,
        windows: &Windows,
        chooser: &Chooser<'_>,
        owner_of: impl Fn(&Listener) -> Option<IdentityId>,
    ) -> Fit {
        let Wanted { proto, local, .. } = wanted;
        let Some(ids) = self.0.get(&(proto, local.port())) else { return Fit::Nobody };
        let (recordings, time_ns) = (chooser.recordings, chooser.seen.time_ns);
        let mut found: Vec<(Found, Closeness)> = vec![];
        for &id in ids {
            let listener = &recordings.listeners[super::position(id)];
            let Some(closeness) = closeness(listener, local) else { continue };
            let life = recordings.life(listener.life);
            let from_ns = listener.from_ns.saturating_sub(reach(life.opened, wanted, windows));
            // One that outlived the recording goes on, as connections do; but datagrams may be
            // another's as soon as nobody looks.
            let is_open_end = listener.until_ns == life.end_ns && life.closed.is_none();
            let goes_on = is_open_end && proto == Proto::TCP;
            let until_ns =
                listener.until_ns.saturating_add(if goes_on { windows.after_ns } else { 0 });
            let is_open = from_ns <= time_ns && time_ns <= until_ns;
            let lane = Lane { host: life.host, namespace: life.namespace };
            let is_wildcard = closeness != Closeness::Address;
            // Whoever took the port since may be among what was lost. Of a connection that nobody
            // knows, the accepted socket may be; or it was gone when the recording began.
            let host = recordings.host(life.host);
            let is_known = !host.lost_at(time_ns)
                && (wanted.is_its || host.is_whole_for(windows.after_ns, time_ns));
            let is_elsewhere = wanted.only.is_some_and(|only| only != lane);
            if !is_open || !is_known || is_elsewhere || !chooser.is_possible(lane, is_wildcard) {
                continue;
            }
            // Its close may be among what was lost.
            let is_sure = life.is_sure(time_ns);
            let this = Found {
                holder: is_sure.then_some(Holder::Listener(id)),
                owner: owner_of(listener),
                rule: Rule::Listener,
                lane,
            };
            match found.iter_mut().find(|(known, _)| known.lane == lane) {
                Some((_, known)) if *known < closeness => {}
                Some((known, also)) if *also == closeness => {
                    if known.owner == this.owner {
                        known.holder = known.holder.or(this.holder);
                    } else {
                        (known.holder, known.owner) = (None, None);
                    }
                }
                Some(known) => *known = (this, closeness),
                None => found.push((this, closeness)),
            }
        }
        chooser.choose(found.into_iter().map(|(found, _)| found).collect())
    }
}

/// How long before its first row a listener may have been there: one that was there when the
/// recording began. Not to receive: who did that before nobody knows. Nor to send, but for what the
/// clocks may differ: a port is soon another socket's.
fn reach(opened: Kind, wanted: Wanted, windows: &Windows) -> i64 {
    match opened {
        Kind::Socket if wanted.sent => windows.after_udp_ns,
        _ => 0,
    }
}

fn closeness(listener: &Listener, local: Endpoint) -> Option<Closeness> {
    let bound = listener.local;
    if bound == local {
        return Some(Closeness::Address);
    }
    match (bound.is_unspecified(), bound.is_v4()) {
        (true, true) => local.is_v4().then_some(Closeness::AnyV4),
        (true, false) => (!local.is_v4() || !listener.v6only).then_some(Closeness::Any),
        (false, _) => None,
    }
}
