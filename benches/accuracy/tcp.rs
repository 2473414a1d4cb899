//! One TCP connection: what each end's host sees and writes, packet by packet.

use std::net::SocketAddr;

use schema::{Kind, Proto};

use crate::process::ProcessId;
use crate::world::{Behind, End, Extra, Life, LifeId, MICRO, MILLI, Packet, RowId, SECOND, World};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// One end, if it is on the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sock {
    pub(crate) netns: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Who opened it: of a server's, the listening process.
    pub(crate) opener: ProcessId,
    /// Who uses it.
    pub(crate) user: ProcessId,
}

/// Where the connection is captured, and by which addresses it is known there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub(crate) interface: usize,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    /// The translation's row that leads from here to the client's, and to the server's socket.
    pub(crate) rows: [Option<RowId>; 2],
}

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) scene: &'static str,
    pub(crate) start_ns: i64,
    pub(crate) rtt_ns: i64,
    pub(crate) client: Option<Sock>,
    pub(crate) server: Option<Sock>,
    pub(crate) taps: Vec<Tap>,
    /// Payload the client sends, and the server.
    pub(crate) bytes: [u64; 2],
    pub(crate) lasts_ns: i64,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) client: Option<LifeId>,
    pub(crate) server: Option<LifeId>,
    /// The last packet.
    pub(crate) end_ns: i64,
    /// From when on the tuple may be used again.
    pub(crate) free_ns: i64,
    /// Its packets.
    pub(crate) packets: (usize, usize),
}

struct Run<'a> {
    world: &'a mut World,
    connection: &'a Connection,
    ends: [Option<LifeId>; 2],
    seqs: [u32; 2],
}

impl Run<'_> {
    /// A packet, up from the client or down, seen at every tap.
    fn send(&mut self, ns: i64, up: bool, flags: u8, length: usize) {
        let [client, server] = self.seqs;
        let (seq, ack) = if up { (client, server) } else { (server, client) };
        let ack = if flags & ACK != 0 { ack } else { 0 };
        let taps = self.connection.taps.len();
        for n in 0..taps {
            let at = if up { n } else { taps - 1 - n };
            let tap = self.connection.taps[at];
            let end = |side: usize| match self.ends[side] {
                Some(life) => End::Socket(life, tap.rows[side]),
                None => End::Nobody,
            };
            let (src, dst) = if up { (tap.client, tap.server) } else { (tap.server, tap.client) };
            let ends = if up { [end(0), end(1)] } else { [end(1), end(0)] };
            self.world.packets.push(Packet {
                ns: ns + n as i64 * 4 * MICRO,
                interface: tap.interface,
                proto: Proto::TCP,
                src,
                dst,
                flags,
                seq,
                ack,
                length,
                ends,
                behind: [None, None],
                scene: self.connection.scene,
            });
        }
        let used = length as u32 + u32::from(flags & (SYN | FIN) != 0);
        let seq = &mut self.seqs[usize::from(!up)];
        *seq = seq.wrapping_add(used);
    }

    fn close(&mut self, side: usize, ts: i64) {
        if let Some(life) = self.ends[side] {
            let [sent, received] = [side, 1 - side].map(|side| self.connection.bytes[side]);
            self.world.row_with(ts, Kind::TcpClose, life, |row| {
                row.extra = Extra::Bytes(sent, received);
            });
        }
    }
}

fn life(sock: &Sock, direction: &'static str, syn_ns: i64) -> Life {
    Life {
        netns: sock.netns,
        proto: Proto::TCP,
        direction: Some(direction),
        local: sock.local,
        remote: Some(sock.remote),
        owners: vec![(i64::MIN, sock.user)],
        opener: (direction == "in").then_some(sock.opener),
        syn_ns: Some(syn_ns),
    }
}

impl World {
    /// A connection from its SYN to its end, and what lingers.
    pub(crate) fn connect(&mut self, connection: &Connection) -> Done {
        let Connection { start_ns: start, rtt_ns: rtt, .. } = *connection;
        let first = self.packets.len();
        let client = connection.client.map(|sock| self.add_life(life(&sock, "out", start)));
        let server = connection.server.map(|sock| self.add_life(life(&sock, "in", start)));
        let seqs = [self.random.next() as u32, self.random.next() as u32];
        let mut run = Run { world: self, connection, ends: [client, server], seqs };
        let established = run.open(start, rtt, [client, server]);
        let mut now = established;
        let exchanges = run.world.random.range(1, 5);
        // What the sockets count is what the packets hold.
        let mut left = connection.bytes.map(|bytes| bytes as usize);
        for n in 0..exchanges {
            let length = run.world.random.range(1, 40) as usize;
            let is_last = n + 1 == exchanges;
            let lengths = left.map(|left| if is_last { left } else { length.min(left) });
            for side in [0, 1] {
                left[side] -= lengths[side];
                // An IP packet holds no more than 64 kB.
                for part in parts(lengths[side]) {
                    run.send(now + rtt * side as i64, side == 0, ACK, part);
                }
            }
            if n == 0 {
                run.first_read(now + rtt / 2);
            }
            now += rtt + run.world.random.range(0, connection.lasts_ns / exchanges + 1);
        }
        let (end_ns, free_ns) = run.end(now, rtt);
        Done { client, server, end_ns, free_ns, packets: (first, self.packets.len()) }
    }
}

/// The sizes of the segments of `length` bytes: one, though it is empty.
fn parts(length: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 32_768;
    (0..length.div_ceil(MOST).max(1)).map(move |n| MOST.min(length - n * MOST))
}

impl Run<'_> {
    /// The handshake; when it is over.
    fn open(&mut self, start: i64, rtt: i64, [client, server]: [Option<LifeId>; 2]) -> i64 {
        let mut syn = start;
        if let Some(client) = client {
            let ts = start - self.jitter();
            self.world.row(ts, Kind::TcpConnect, client);
        }
        self.send(syn, true, SYN, 0);
        if self.world.random.percent(5) {
            self.seqs[0] = self.seqs[0].wrapping_sub(1);
            syn += SECOND;
            self.send(syn, true, SYN, 0);
        }
        self.send(syn + rtt, false, SYN | ACK, 0);
        let up = syn + rtt + 20 * MICRO;
        if let Some(client) = client {
            self.world.row(up - 5 * MICRO, Kind::TcpEstablished, client);
        }
        self.send(up, true, ACK, 0);
        if let (Some(server), Some(sock)) = (server, self.connection.server) {
            let ts = up + self.jitter();
            self.world.row_with(ts, Kind::TcpAccept, server, |row| row.who = Some(sock.opener));
        }
        up + 60 * MICRO
    }

    /// The process that reads from an accepted socket is its owner.
    fn first_read(&mut self, ts: i64) {
        let (Some(server), Some(sock)) = (self.ends[1], self.connection.server) else { return };
        if sock.user != sock.opener {
            self.world.row(ts, Kind::Owner, server);
        }
    }

    /// The end; when it was, and from when on the tuple may be used again.
    fn end(&mut self, now: i64, rtt: i64) -> (i64, i64) {
        let is_far = self.ends.contains(&None);
        let closer = self.world.random.below(2);
        let up = closer == 0;
        let tick = 6 * MICRO;
        let mut end = now;
        if self.world.random.percent(10) {
            self.send(now, up, RST | ACK, 0);
            self.close(closer, now - tick);
            self.close(1 - closer, now + tick);
        } else {
            self.send(now, up, FIN | ACK, 0);
            self.send(now + rtt, !up, FIN | ACK, 0);
            self.close(closer, now + rtt + tick);
            end = now + rtt + 2 * tick;
            self.send(end, up, ACK, 0);
            if is_far && self.world.random.percent(10) {
                // The last acknowledgement did not arrive.
                let again = end + 200 * MILLI;
                let seq = &mut self.seqs[usize::from(up)];
                *seq = seq.wrapping_sub(1);
                self.send(again, !up, FIN | ACK, 0);
                end = again + tick;
                self.send(end, up, ACK, 0);
            }
            self.close(1 - closer, end + tick);
        }
        let far = usize::from(self.ends[0].is_some());
        if is_far && self.world.random.percent(8) {
            // A late duplicate of the far end's, answered by the kernel.
            end += self.world.random.range(SECOND / 2, 50 * SECOND);
            self.send(end, far == 0, ACK, 10);
            end += tick;
            self.send(end, far != 0, RST, 0);
        }
        // Who closes first waits, and lets a new connection in after a second.
        let waits = if up { SECOND } else { MILLI };
        (end, end + waits)
    }

    fn jitter(&mut self) -> i64 {
        self.world.random.range(2 * MICRO, 40 * MICRO)
    }
}

impl Done {
    /// Sets who is behind the sockets of `life` in all packets.
    pub(crate) fn set_behind(&self, world: &mut World, life: LifeId, behind: Behind) {
        for packet in &mut world.packets[self.packets.0..self.packets.1] {
            for (end, slot) in packet.ends.iter().zip(&mut packet.behind) {
                if matches!(end, End::Socket(known, _) if *known == life) {
                    *slot = Some(behind);
                }
            }
        }
    }
}
