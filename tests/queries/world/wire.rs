//! What was seen on two interfaces of `web-1`, and who was at either end of it.

use super::{END_NS, End, Fate, MS_NS, Role, SECOND_NS, START_NS, Socket, World, at, end};

/// Nanoseconds.
const US_NS: i64 = 1000;

pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
const FIN: u8 = 1;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Index into [`World::sockets`], and whether its address was translated on the way.
    Of(usize, bool),
    /// Nobody who can be known, for this reason.
    Nobody(&'static str),
}

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: i64,
    pub(crate) interface: &'static str,
    /// TCP, or else ARP.
    pub(crate) ends: Option<[End; 2]>,
    pub(crate) flags: u8,
    pub(crate) payload: u16,
    pub(crate) sides: [Side; 2],
}

/// A conversation: its two ends as they stand in its packets, client first.
#[derive(Clone)]
struct Talk {
    interface: &'static str,
    ends: [End; 2],
    sides: [Side; 2],
}

impl Talk {
    fn packet(&self, at: i64, from_client: bool, flags: u8, payload: u16) -> Packet {
        let Self { interface, mut ends, mut sides } = self.clone();
        if !from_client {
            ends.reverse();
            sides.reverse();
        }
        Packet { at, interface, ends: Some(ends), flags, payload, sides }
    }

    /// Handshake, `requests` with their answers 5 ms apart, and the end at `closed`.
    fn whole(&self, syn: i64, established: i64, closed: i64, requests: i64) -> Vec<Packet> {
        let mut packets = vec![
            self.packet(syn, true, SYN, 0),
            self.packet(established - 10 * US_NS, false, SYN | ACK, 0),
            self.packet(established - US_NS, true, ACK, 0),
        ];
        for n in 0..requests {
            let at = established + (2 + 5 * n) * MS_NS;
            packets.push(self.packet(at, true, PSH | ACK, 80));
            packets.push(self.packet(at + MS_NS, false, PSH | ACK, 1200));
        }
        packets.push(self.packet(closed - 100 * US_NS, true, FIN | ACK, 0));
        packets.push(self.packet(closed - 50 * US_NS, false, FIN | ACK, 0));
        packets.push(self.packet(closed + 500 * US_NS, true, ACK, 0));
        packets
    }
}

/// Everything that was seen, by time.
pub(super) fn seen(world: &World) -> Vec<Packet> {
    let mut packets = vec![];
    let sockets = || world.sockets.iter().enumerate().filter(|(_, s)| world.host(s) == "web-1");
    for (index, socket) in sockets() {
        let Some(remote) = &socket.remote else { continue };
        let remote_port = remote.1;
        let own = Side::Of(index, false);
        let is_client = socket.role == Role::Opened && !socket.existed;
        let established = socket.opened + i64::from(socket.latency_us.unwrap_or(0)) * US_NS;
        let ends = [socket.local.clone(), remote.clone()];
        let talk = |interface, other| Talk { interface, ends: ends.clone(), sides: [own, other] };
        match (remote_port, socket.fate) {
            // To docker-proxy's back leg belongs a socket in the container.
            (8080, Fate::Closed { at, .. }) if is_client => {
                let is_far =
                    |(_, far): &(usize, &Socket)| far.remote.as_ref() == Some(&socket.local);
                let (far, _) = sockets().find(is_far).expect("a far end");
                let talk = talk("docker0", Side::Of(far, false));
                packets.extend(talk.whole(socket.opened + 10 * US_NS, established, at, 2));
            }
            (8000 | 4443, Fate::Failed { .. }) => {
                let interface = if remote_port == 8000 { "docker0" } else { "eth0" };
                let talk = talk(interface, Side::Nobody("remote"));
                packets.push(talk.packet(socket.opened + 20 * US_NS, true, SYN, 0));
                if remote_port == 8000 {
                    packets.push(talk.packet(socket.opened + 380 * US_NS, false, RST | ACK, 0));
                }
            }
            (873, Fate::Closed { at, .. }) => {
                let talk = talk("eth0", Side::Nobody("remote"));
                packets.extend(talk.whole(socket.opened + 20 * US_NS, established, at, 3));
                let bulk = |n: i64| talk.packet(socket.opened + n * SECOND_NS, true, ACK, 1400);
                packets.extend((1..=60).map(bulk));
            }
            (6667, _) => {
                let talk = talk("eth0", Side::Nobody("remote"));
                packets.push(talk.packet(socket.opened + 20 * US_NS, true, SYN, 0));
                packets.push(talk.packet(established - 10 * US_NS, false, SYN | ACK, 0));
                packets.push(talk.packet(established + MS_NS, true, PSH | ACK, 23));
            }
            _ => {}
        }
    }
    published(world, &mut packets);
    nobody(&mut packets);
    packets.sort_by_key(|packet| packet.at);
    packets
}

/// On the way in the published port is what stands in the packets.
fn published(world: &World, packets: &mut Vec<Packet>) {
    for nat in &world.nats {
        let [client, _] = &nat.original;
        let is_server = |socket: &Socket| {
            socket.role == Role::Accepted && socket.remote.as_ref() == Some(client)
        };
        let Some(server) = world.sockets.iter().position(is_server) else { continue };
        let sides = [Side::Nobody("remote"), Side::Of(server, true)];
        let talk = Talk { interface: "eth0", ends: nat.original.clone(), sides };
        let socket = &world.sockets[server];
        let closed = socket.closed().expect("closed");
        packets.extend(talk.whole(socket.opened - 80 * US_NS, socket.opened, closed, 3));
    }
}

/// A scan, a connection from when rows were lost, one from before, one after, and an ARP request.
fn nobody(packets: &mut Vec<Packet>) {
    let talk = |ends, sides: [&'static str; 2]| Talk {
        interface: "eth0",
        ends,
        sides: sides.map(Side::Nobody),
    };
    for port in [23, 25, 110, 3389] {
        let ends = [end("198.51.100.99", 40_404), end("10.0.0.5", port)];
        let scan = talk(ends, ["remote", "no-socket"]);
        let time = at(4, 30) + i64::from(port) * MS_NS;
        packets.push(scan.packet(time, true, SYN, 0));
        packets.push(scan.packet(time + 30 * US_NS, false, RST | ACK, 0));
    }
    let reason = [
        (at(6, 10) - 500 * MS_NS, 45_500, "in-loss"),
        (START_NS - 30 * SECOND_NS, 45_400, "before-recording"),
        (END_NS + 300 * SECOND_NS, 45_600, "after-recording"),
    ];
    for (time, port, reason) in reason {
        let ends = [end("10.0.0.5", port), end("203.0.113.5", 443)];
        let talk = talk(ends, [reason, "remote"]);
        packets.extend((0..3).map(|n| talk.packet(time + n * MS_NS, n != 1, PSH | ACK, 100)));
    }
    let arp = Packet {
        at: at(5, 0) + 1,
        interface: "eth0",
        ends: None,
        flags: 0,
        payload: 0,
        sides: [Side::Nobody("not-ip"); 2],
    };
    packets.push(arp);
}
