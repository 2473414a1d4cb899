//! The beginnings of connections that a capture shows: "retransmitted SYNs share a sequence number,
//! a new number is a new connection".

use super::lives::Life;
use super::place::Ends;
use super::world::{Interface, SECOND, Us, World};

/// All SYNs of one number over one tuple, as far as one namespace can have seen them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Syn {
    pub(super) seq: u32,
    pub(super) first: Us,
    pub(super) last: Us,
    /// Sent by the local end of the tuple it was asked for.
    pub(super) is_out: bool,
    /// When it was first answered by a SYN-ACK.
    pub(super) answered: Option<Us>,
}

impl Syn {
    /// Whether it is known for sure that a life that was there at `at` began with it: nothing tells of
    /// the end of that connection, and an accept follows its handshake at once.
    pub(super) fn is_surely_of(&self, life: &Life, world: &World, ends: &[Ends]) -> bool {
        let since = |at: Us| self.last < at && at <= life.first;
        let is_its = |src, dst| ends.contains(&(src, dst)) || ends.contains(&(dst, src));
        let ended = world.packets.iter().any(|packet| {
            since(packet.at) && packet.flags.contains(['R', 'F']) && is_its(packet.src, packet.dst)
        });
        !ended && (life.first_kind != "tcp_accept" || self.last >= life.first - 6 * SECOND / 5)
    }
}

/// Whether what is seen on an interface can be of a namespace: it is not plainly another one's twin.
pub(super) fn can_be_of(interface: &Interface, ns: u64, twins: &[u64]) -> bool {
    let plainly = |of: u64| interface.ns == of || interface.beyond == Some(of);
    plainly(ns) || !twins.iter().any(|&twin| twin != ns && plainly(twin))
}

/// The SYNs between `ends` (local first; as a translation changes them, too) for namespace `ns`, in
/// order; `twins` are all namespaces that have such sockets. `only`: not what may as well be a twin's.
pub(super) fn syns(world: &World, ends: &[Ends], ns: u64, twins: &[u64], only: bool) -> Vec<Syn> {
    let mut found = Vec::<Syn>::new();
    for packet in world.packets.iter().filter(|packet| !packet.udp) {
        let is_out = ends.contains(&(packet.src, packet.dst));
        let is_in = ends.contains(&(packet.dst, packet.src));
        let interface = &world.interfaces[packet.interface];
        let may_be = |ns: u64| can_be_of(interface, ns, twins);
        let is_shared = twins.iter().any(|&twin| twin != ns && may_be(twin));
        if !(is_out || is_in) || !may_be(ns) || (only && is_shared) {
            continue;
        }
        let at = packet.at;
        // A SYN-ACK tells the number of a SYN that the capture lacks.
        let (seq, is_out) = match packet.flags {
            "S" => (packet.seq, is_out),
            "S." => (packet.ack.wrapping_sub(1), !is_out),
            _ => continue,
        };
        let known = found.iter().position(|syn| (syn.seq, syn.is_out) == (seq, is_out));
        let known = known.unwrap_or_else(|| {
            found.push(Syn { seq, first: at, last: at, is_out, answered: None });
            found.len() - 1
        });
        found[known].last = at;
        if packet.flags == "S." {
            found[known].answered.get_or_insert(at);
        }
    }
    found
}

/// The SYN that began each life of one tuple in one namespace (`lane`, in order of their beginnings).
///
/// DESIGN says "the life's own SYN" and leaves open how to find it. A connecting socket's leaves just
/// after its first row; an accepted one's precedes the row, and belongs to no earlier life, so it
/// follows the first row of that.
pub(super) fn own_syns(lane: &[&Life], syns: &[Syn]) -> Vec<Option<Syn>> {
    let own = |(n, life): (usize, &&Life)| {
        let next = lane.get(n + 1).map_or(Us::MAX, |next| next.first);
        let earlier = match n {
            0 => Us::MIN,
            _ => lane[n - 1].first,
        };
        match life.first_kind {
            "tcp_connect" => {
                // It leaves at once; if that one is not captured, its repetitions are, for seconds.
                let open = life.established().or(life.close).unwrap_or(life.first + 20 * SECOND);
                let until = next.min(open);
                let mut own = syns.iter().filter(|syn| syn.is_out);
                own.find(|syn| syn.first >= life.first && syn.first <= until)
            }
            // Its beginning was lost.
            "tcp_close" | "tcp_connect_fail" => None,
            kind => {
                // A socket that was there before may have opened or accepted.
                let mut own = syns.iter().filter(|syn| !syn.is_out || kind != "tcp_accept");
                own.rfind(|syn| syn.first <= life.first && syn.first > earlier)
            }
        }
    };
    lane.iter().enumerate().map(own).map(|own| own.cloned()).collect()
}
