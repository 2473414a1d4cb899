//! Lives in 48 bytes each: a recording has millions. What few of them have, or what is larger than
//! usual, stands elsewhere.

use hashbrown::HashMap;
use schema::{EventDirection, Kind};

use super::host::HostId;
use super::identity::IdentityId;
use super::life::{Life, LifeId};
use super::place::NamespaceId;
use super::text::TextId;
use super::{flagged, position};

const HAS_OWNER: u16 = 1;
const HAS_TID: u16 = 1 << 1;
const HAS_NAMESPACE: u16 = 1 << 2;
const HAS_LATENCY: u16 = 1 << 3;
const HAS_RETRANSMITS: u16 = 1 << 4;
const HAS_BYTES: u16 = 1 << 5;
const IS_OUT: u16 = 1 << 6;
const IS_IN: u16 = 1 << 7;
/// `sure_ns` is not `end_ns`.
const IS_UNSURE: u16 = 1 << 8;
/// There is more of it elsewhere.
const HAS_MORE: u16 = 1 << 9;
/// Cookie, end and host are elsewhere.
const IS_ODD: u16 = 1 << 10;
/// Where the kind of the last row stands, one more than its number, if it closed the life.
const CLOSED: u16 = 11;

const _: () = assert!(Kind::ALL.len() < 1 << (u16::BITS - 11), "every kind has its number");

/// All lives.
#[derive(Debug, Default)]
pub struct Lives {
    all: Vec<Packed>,
    unsure: HashMap<u32, i64>,
    more: HashMap<u32, More>,
    odd: HashMap<u32, Odd>,
    /// The host of each namespace; [`NO_HOST`] of those that no life is in.
    hosts: Vec<HostId>,
}

/// Instead of a host: none.
const NO_HOST: HostId = HostId(u16::MAX);
/// Namespaces whose host is kept: more than any recording has.
const MAX_NAMESPACES: usize = 1 << 20;

/// Numbers of six bytes: the higher two, and the lower four.
type Split = (u16, u32);

#[derive(Clone, Copy, Debug)]
struct Packed {
    start_ns: i64,
    cookie: u32,
    /// Nanoseconds from start to end.
    lasts: u32,
    owner: u32,
    tid: u32,
    /// The namespace; the host, if that is not known.
    place: u32,
    latency_us: u32,
    bytes: [u32; 2],
    cookie_high: u16,
    lasts_high: u16,
    has: u16,
    opened: Kind,
    retransmits: u8,
}

/// What few lives have: an error, and numbers that don't fit.
#[derive(Clone, Copy, Debug)]
struct More {
    error: TextId,
    bytes: Option<(u64, u64)>,
    retransmits: Option<u32>,
}

/// What hardly any life has: a cookie that no kernel comes to, an end three days after the start, a
/// namespace that two hosts share.
#[derive(Clone, Copy, Debug)]
struct Odd {
    cookie: u64,
    end_ns: i64,
    host: HostId,
}

/// A number in six bytes, if it has no more.
fn split(number: u64) -> Option<Split> {
    let high = u16::try_from(number >> 32).ok()?;
    // The rest is cut off on purpose.
    Some((high, number as u32))
}

#[inline]
fn whole((high, low): Split) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Lives {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The life `id`, which must come from here.
    #[inline]
    #[must_use]
    pub fn get(&self, id: LifeId) -> Life {
        let packed = &self.all[position(id.0)];
        let has = packed.has;
        let of = |flag: u16, value: u32| (has & flag != 0).then_some(value);
        let [sent, received] = packed.bytes.map(u64::from);
        let (host, namespace) = self.place_of(packed);
        let lasts_ns = whole((packed.lasts_high, packed.lasts)).cast_signed();
        let end_ns = packed.start_ns.saturating_add(lasts_ns);
        let mut life = Life {
            host,
            socket_cookie: whole((packed.cookie_high, packed.cookie)),
            namespace,
            direction: match (has & IS_OUT != 0, has & IS_IN != 0) {
                (true, _) => Some(EventDirection::Out),
                (_, true) => Some(EventDirection::In),
                _ => None,
            },
            opened: packed.opened,
            closed: closed(has),
            start_ns: packed.start_ns,
            end_ns,
            sure_ns: end_ns,
            owner: of(HAS_OWNER, packed.owner).map(IdentityId),
            tid: of(HAS_TID, packed.tid),
            latency_us: of(HAS_LATENCY, packed.latency_us),
            retransmits: of(HAS_RETRANSMITS, u32::from(packed.retransmits)),
            bytes: (has & HAS_BYTES != 0).then_some((sent, received)),
            error: TextId::NONE,
        };
        if has & (IS_UNSURE | HAS_MORE | IS_ODD) != 0 {
            self.complete(id, has, &mut life);
        }
        life
    }

    #[cold]
    fn complete(&self, id: LifeId, has: u16, life: &mut Life) {
        if let Some(odd) = self.odd.get(&id.0).filter(|_| has & IS_ODD != 0) {
            life.socket_cookie = odd.cookie;
            life.end_ns = odd.end_ns;
            life.sure_ns = odd.end_ns;
            life.host = odd.host;
        }
        if has & IS_UNSURE != 0 {
            life.sure_ns = self.unsure.get(&id.0).copied().unwrap_or(life.end_ns);
        }
        if let Some(more) = self.more.get(&id.0).filter(|_| has & HAS_MORE != 0) {
            life.error = more.error;
            life.bytes = life.bytes.or(more.bytes);
            life.retransmits = life.retransmits.or(more.retransmits);
        }
    }

    /// The host of the life `id`, and its namespace.
    #[inline]
    #[must_use]
    pub fn place(&self, id: LifeId) -> (HostId, Option<NamespaceId>) {
        let packed = &self.all[position(id.0)];
        let (host, namespace) = self.place_of(packed);
        if packed.has & IS_ODD != 0 {
            return (self.odd.get(&id.0).map_or(host, |odd| odd.host), namespace);
        }
        (host, namespace)
    }

    #[inline]
    fn place_of(&self, packed: &Packed) -> (HostId, Option<NamespaceId>) {
        if packed.has & HAS_NAMESPACE == 0 {
            // As it was packed.
            return (HostId(packed.place as u16), None);
        }
        let host = self.hosts.get(position(packed.place)).copied().unwrap_or(NO_HOST);
        (host, Some(NamespaceId(packed.place)))
    }

    /// The first row of the life `id`, nanoseconds since 1970.
    #[inline]
    #[must_use]
    pub fn start_ns(&self, id: LifeId) -> i64 {
        self.all[position(id.0)].start_ns
    }

    /// The kind of the first row of the life `id`.
    #[inline]
    #[must_use]
    pub fn opened(&self, id: LifeId) -> Kind {
        self.all[position(id.0)].opened
    }

    /// The owner of the life `id`, which must come from here.
    #[inline]
    #[must_use]
    pub fn owner(&self, id: LifeId) -> Option<IdentityId> {
        let packed = &self.all[position(id.0)];
        (packed.has & HAS_OWNER != 0).then_some(IdentityId(packed.owner))
    }

    /// The thread of the life `id`, if it has that owner.
    #[inline]
    #[must_use]
    pub fn thread_of(&self, id: LifeId, owner: IdentityId) -> Option<u32> {
        let packed = &self.all[position(id.0)];
        (packed.has & HAS_TID != 0 && self.owner(id) == Some(owner)).then_some(packed.tid)
    }

    /// Reads of the life `id`, so that it is near when it is needed, without waiting for it.
    #[inline]
    pub(crate) fn touch(&self, id: LifeId) {
        if let Some(life) = self.all.get(position(id.0)) {
            std::hint::black_box((life.start_ns, life.retransmits));
        }
    }

    /// Whether `id` was closed.
    #[inline]
    pub(super) fn is_closed(&self, id: LifeId) -> bool {
        closed(self.all[position(id.0)].has).is_some()
    }

    /// One more life.
    pub fn push(&mut self, life: &Life) -> LifeId {
        let id = LifeId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let packed = self.pack(id, life);
        self.all.push(packed);
        id
    }

    /// What is known of a life has changed.
    pub fn set(&mut self, id: LifeId, life: &Life) {
        let before = self.all[position(id.0)].has;
        if before & IS_UNSURE != 0 {
            self.unsure.remove(&id.0);
        }
        if before & HAS_MORE != 0 {
            self.more.remove(&id.0);
        }
        if before & IS_ODD != 0 {
            self.odd.remove(&id.0);
        }
        self.all[position(id.0)] = self.pack(id, life);
    }

    /// Changes a life.
    pub fn update(&mut self, id: LifeId, change: impl FnOnce(&mut Life)) {
        let mut life = self.get(id);
        change(&mut life);
        self.set(id, &life);
    }

    fn pack(&mut self, id: LifeId, life: &Life) -> Packed {
        let small = life.bytes.and_then(|(sent, received)| {
            Some([u32::try_from(sent).ok()?, u32::try_from(received).ok()?])
        });
        let few = life.retransmits.and_then(|count| u8::try_from(count).ok());
        let more = More {
            error: life.error,
            bytes: life.bytes.filter(|_| small.is_none()),
            retransmits: life.retransmits.filter(|_| few.is_none()),
        };
        let mut has = match life.direction {
            Some(EventDirection::Out) => IS_OUT,
            Some(EventDirection::In) => IS_IN,
            None => 0,
        };
        if more.error != TextId::NONE || more.bytes.is_some() || more.retransmits.is_some() {
            self.more.insert(id.0, more);
            has |= HAS_MORE;
        }
        if life.sure_ns != life.end_ns {
            self.unsure.insert(id.0, life.sure_ns);
            has |= IS_UNSURE;
        }
        let (place, home) = self.pack_place(life);
        let cookie = split(life.socket_cookie);
        let lasts_ns = life.end_ns.checked_sub(life.start_ns);
        let lasts = lasts_ns.and_then(|lasts_ns| split(u64::try_from(lasts_ns).ok()?));
        if home != Some(life.host) || cookie.is_none() || lasts.is_none() {
            let Life { socket_cookie: cookie, end_ns, host, .. } = *life;
            self.odd.insert(id.0, Odd { cookie, end_ns, host });
            has |= IS_ODD;
        }
        let (cookie_high, cookie) = cookie.unwrap_or_default();
        let (lasts_high, lasts) = lasts.unwrap_or_default();
        let (owner, a) = flagged(life.owner.map(|owner| owner.0), HAS_OWNER);
        let (tid, b) = flagged(life.tid, HAS_TID);
        let (_, c) = flagged(life.namespace.map(|namespace| namespace.0), HAS_NAMESPACE);
        let (latency_us, d) = flagged(life.latency_us, HAS_LATENCY);
        let (retransmits, e) = flagged(few, HAS_RETRANSMITS);
        let (bytes, f) = flagged(small, HAS_BYTES);
        let closed = life.closed.map_or(0, |kind| kind as u16 + 1) << CLOSED;
        Packed {
            start_ns: life.start_ns,
            cookie,
            lasts,
            owner,
            tid,
            place,
            latency_us,
            bytes,
            cookie_high,
            lasts_high,
            has: has | a | b | c | d | e | f | closed,
            opened: life.opened,
            retransmits,
        }
    }

    /// Where a life is, and the host that this stands for, if it stands for one.
    fn pack_place(&mut self, life: &Life) -> (u32, Option<HostId>) {
        let Some(namespace) = life.namespace else {
            return (u32::from(life.host.0), Some(life.host));
        };
        let at = position(namespace.0);
        if at >= self.hosts.len() && at < MAX_NAMESPACES {
            self.hosts.resize(at + 1, NO_HOST);
        }
        let home = self.hosts.get_mut(at).map(|home| {
            // The first life of a namespace says whose it is.
            if *home == NO_HOST {
                *home = life.host;
            }
            *home
        });
        (namespace.0, home.filter(|&home| home != NO_HOST))
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Life> + '_ {
        self.ids().map(|id| self.get(id))
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = LifeId> + use<> {
        (0..u32::try_from(self.all.len()).unwrap_or(u32::MAX)).map(LifeId)
    }

    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.more.shrink_to_fit();
        self.unsure.shrink_to_fit();
        self.odd.shrink_to_fit();
    }
}

/// The kind of the row that closed a life.
#[inline]
fn closed(has: u16) -> Option<Kind> {
    Kind::ALL.get(usize::from(has >> CLOSED).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests;
