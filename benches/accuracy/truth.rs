//! Who truly is at each end of a packet, and whether the recording holds what is needed to know
//! it. That is decided by what was written and by the contract, not by what the joiner can do.

use std::collections::HashMap;

use schema::Proto;

use crate::process::{Name, ProcessId};
use crate::recording::Recording;
use crate::tcp::SYN;
use crate::world::{
    Behind, CAPTURE_NS, End, Evidence, Extra, LENGTH_NS, LifeId, Packet, SECOND, World,
};

/// How far a socket reaches back before its first row where the capture has no SYN of it.
const BEFORE_NS: i64 = 5 * SECOND;
/// How long sockets that outlive the recording go on.
const AFTER_NS: i64 = 60 * SECOND;

#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// `None` if it is no process of the machine.
    pub(crate) who: Option<Name>,
    /// Of an accepted connection's SYN and SYN-ACK: who listens. Both names are right, since the
    /// handshake is the listener's, and the connection the worker's.
    pub(crate) listens: Option<Name>,
    pub(crate) knowable: bool,
}

pub(crate) struct Judge<'a> {
    world: &'a World,
    recording: &'a Recording,
    /// Pairs of a proxy's sockets whose bytes agree with those of no other pair.
    unique: HashMap<(LifeId, LifeId), bool>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(world: &'a World, recording: &'a Recording) -> Self {
        Self { world, recording, unique: unique_pairs(world, recording) }
    }

    /// The truth of one end: 0 the sender, 1 the receiver.
    pub(crate) fn end(&self, packet: &Packet, side: usize) -> Truth {
        let (life, knowable) = match packet.ends[side] {
            End::Nobody => return Truth::default(),
            End::Untold(life) => (life, false),
            End::Socket(life, through) => {
                let is_told = through.is_none_or(|row| self.recording.has(row));
                (life, is_told && self.is_known(life, packet, side))
            }
        };
        let life = &self.world.lives[life.0];
        let name = |process| self.world.name(process, packet.ns);
        let listens = life.opener.filter(|_| packet.flags & SYN != 0).map(name);
        Truth { who: Some(name(life.owner(packet.ns))), listens, knowable }
    }

    fn is_known(&self, id: LifeId, packet: &Packet, side: usize) -> bool {
        let (life, known) = (&self.world.lives[id.0], &self.recording.known[id.0]);
        let Some(first_ns) = known.first_ns.filter(|_| known.names_user) else { return false };
        if packet.ns > LENGTH_NS + AFTER_NS {
            return false;
        }
        let remote = if side == 0 { packet.dst } else { packet.src };
        let is_listener = life.remote.is_none() && !known.peers.contains_key(&remote);
        if is_listener && self.recording.is_lossy(packet.ns, packet.ns) {
            // Whoever took the port since may be among what was lost.
            return false;
        }
        // Its close may be among what was lost, and its tuple another one's.
        if known.closed.is_none() && self.recording.is_lossy(known.last_ns, packet.ns) {
            return false;
        }
        if packet.proto == Proto::UDP {
            // Two sockets may have one tuple: whose close was lost may be there still.
            let is_shared = self.recording.is_doubtful(self.world, id, packet.ns);
            if packet.ns > LENGTH_NS || is_shared {
                return false;
            }
        }
        if first_ns <= packet.ns {
            return true;
        }
        match (packet.proto, life.syn_ns) {
            (Proto::TCP, Some(syn_ns)) if syn_ns >= CAPTURE_NS.0 => true,
            (Proto::TCP, _) => first_ns - packet.ns <= BEFORE_NS,
            // What comes in before the first row had no receiver that is known.
            _ if life.remote.is_some() => side == 0 && first_ns - packet.ns <= BEFORE_NS,
            _ => {
                let told_ns = known.peers.get(&remote);
                side == 0 && told_ns.is_some_and(|told_ns| told_ns - packet.ns <= BEFORE_NS)
            }
        }
    }

    /// The truth of who is behind a proxy at one end.
    pub(crate) fn behind(&self, packet: &Packet, behind: Behind) -> Truth {
        let known = &self.recording.known[behind.far.0];
        let is_told = match behind.evidence {
            Evidence::Row(row) => self.recording.has(row),
            Evidence::Bytes(front, back) => {
                self.unique.get(&(front, back)).copied().unwrap_or(false)
            }
        };
        let owner = self.world.lives[behind.far.0].owner(packet.ns);
        let knowable = is_told && known.first_ns.is_some() && known.names_user;
        Truth { who: Some(self.world.name(owner, packet.ns)), listens: None, knowable }
    }
}

/// A connection through a proxy, as far as it is written.
struct Pair {
    front: LifeId,
    back: LifeId,
    front_ns: (i64, i64),
    back_ns: (i64, i64),
}

impl Pair {
    /// Whether this front may be what that back was made for.
    fn may_be_for(&self, other: &Self) -> bool {
        self.front_ns.0 <= other.back_ns.0 && other.back_ns.0 <= self.front_ns.1
    }
}

fn unique_pairs(world: &World, recording: &Recording) -> HashMap<(LifeId, LifeId), bool> {
    let mut groups: HashMap<(ProcessId, [u64; 2]), Vec<Pair>> = HashMap::new();
    let mut seen = HashMap::new();
    for behind in world.packets.iter().flat_map(|packet| packet.behind.iter().flatten()) {
        let Evidence::Bytes(front, back) = behind.evidence else { continue };
        if seen.insert((front, back), false).is_some() {
            continue;
        }
        let known = [front, back].map(|life| &recording.known[life.0]);
        let [Some(front_close), Some(back_close)] = known.map(|known| known.closed.as_ref()) else {
            continue;
        };
        let (Extra::Bytes(sent, received), Some(owner)) = (&back_close.extra, back_close.who)
        else {
            continue;
        };
        let span = |at: usize, close: i64| (known[at].first_ns.unwrap_or(close), close);
        let pair = Pair {
            front,
            back,
            front_ns: span(0, front_close.ts),
            back_ns: span(1, back_close.ts),
        };
        groups.entry((owner, [*sent, *received])).or_default().push(pair);
    }
    for pairs in groups.values() {
        for pair in pairs {
            let is_other = |other: &&Pair| other.front != pair.front;
            let rival = pairs
                .iter()
                .filter(is_other)
                .any(|other| other.may_be_for(pair) || pair.may_be_for(other));
            let end_ns = pair.front_ns.1.max(pair.back_ns.1);
            // One that agrees as well may be among what was lost.
            let is_sure = !rival && !recording.is_lossy(pair.front_ns.0, end_ns);
            seen.insert((pair.front, pair.back), is_sure && pair.may_be_for(pair));
        }
    }
    seen
}
