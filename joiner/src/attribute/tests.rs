//! Scenarios with hand-made truth: times are seconds, each life has a process of its own number.

use schema::{EventDirection, Kind};

use super::*;
use crate::decode::Tcp;
use crate::events::{
    Conversation, Handover, Host, HostId, Identity, IdentityId, Life, LifeId, Namespace,
    NamespaceId, TextId,
};
use crate::syn::{Sign, Syn};

const SECOND: i64 = 1_000_000_000;
/// Times start here, so that windows don't reach below zero.
const EPOCH: i64 = 1_000_000 * SECOND;

fn at(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a few thousand seconds fit")]
    let offset = (seconds * 1e9) as i64;
    EPOCH + offset
}

fn client() -> Endpoint {
    Endpoint::v4([10, 0, 0, 1], 40000)
}

fn server() -> Endpoint {
    Endpoint::v4([10, 0, 0, 2], 80)
}

/// From client to server.
fn request(proto: Proto) -> FiveTuple {
    FiveTuple::new(proto, client(), server())
}

struct World {
    recordings: Recordings,
    syns: Vec<Syn>,
}

impl World {
    /// One host with both addresses, recorded from 0 to 1,000 s.
    fn new() -> Self {
        let mut host = Host::new("h".into(), "boot".into());
        host.recorded.push((at(0.0), at(1000.0)));
        host.add_address(client());
        host.add_address(server());
        let mut recordings = Recordings { hosts: vec![host], ..Recordings::default() };
        let namespace = Namespace { host: HostId(0), inode: None, is_listed: false };
        recordings.places.namespaces = vec![namespace; 2];
        Self { recordings, syns: vec![] }
    }

    fn identity(&mut self, pid: u32) -> IdentityId {
        let id = u32::try_from(self.recordings.identities.len()).expect("few");
        self.recordings.identities.push(Identity {
            host: HostId(0),
            proc: id + 1,
            pid,
            uid: None,
            gid: None,
            ppid: None,
            user: TextId::NONE,
            comm: TextId::NONE,
            exe: TextId::NONE,
            cmdline: TextId::NONE,
            parent_comm: TextId::NONE,
            parent_exe: TextId::NONE,
            container_id: TextId::NONE,
            container_name: TextId::NONE,
            container_image: TextId::NONE,
            pod: TextId::NONE,
        });
        IdentityId(id)
    }

    fn life(mut self, pid: u32, opened: Kind, tuple: FiveTuple, from: f64, to: f64) -> Self {
        let owner = Some(self.identity(pid));
        let life = self.recordings.lives.push(&Life {
            namespace: Some(NamespaceId(0)),
            direction: match opened {
                Kind::TcpConnect => Some(EventDirection::Out),
                Kind::TcpAccept => Some(EventDirection::In),
                _ => None,
            },
            closed: Some(Kind::TcpClose),
            end_ns: at(to),
            sure_ns: at(to),
            owner,
            ..Life::new(HostId(0), u64::from(pid), opened, at(from))
        });
        let conversation = Conversation { life, tuple, opened, opened_ns: at(from), owner: None };
        self.recordings.conversations.push(&conversation, &self.recordings.lives);
        self
    }

    fn connect(self, pid: u32, from: f64, to: f64) -> Self {
        self.life(pid, Kind::TcpConnect, request(Proto::TCP), from, to)
    }

    fn accept(self, pid: u32, from: f64, to: f64) -> Self {
        self.life(pid, Kind::TcpAccept, request(Proto::TCP).reversed(), from, to)
    }

    fn syn(mut self, time: f64, seq: u32) -> Self {
        let tuple = request(Proto::TCP);
        self.syns.push(Syn { tuple, time_ns: at(time), seq, sign: Sign::Syn });
        self
    }

    fn syn_ack(mut self, time: f64, seq: u32) -> Self {
        let tuple = request(Proto::TCP).reversed();
        self.syns.push(Syn {
            tuple,
            time_ns: at(time),
            seq: 1,
            sign: Sign::Answer(seq.wrapping_add(1)),
        });
        self
    }

    fn ready(self) -> Matcher {
        let index = Arc::new(Index::new(&self.recordings));
        Matcher::new(self.recordings, index, self.syns, &[], Windows::default())
    }
}

/// What a TCP packet looks like to the matcher.
fn tcp(tuple: FiveTuple, flags: u8, seq: u32, ack: u32) -> Packet {
    Packet { tcp: Some(Tcp { flags, seq, ack }), ..Packet::of(tuple) }
}

fn data_up() -> Packet {
    tcp(request(Proto::TCP), Tcp::ACK, 500, 900)
}

fn data_down() -> Packet {
    tcp(request(Proto::TCP).reversed(), Tcp::ACK, 900, 500)
}

fn syn_packet(seq: u32) -> Packet {
    tcp(request(Proto::TCP), Tcp::SYN, seq, 0)
}

fn syn_ack_packet(seq: u32) -> Packet {
    tcp(request(Proto::TCP).reversed(), Tcp::SYN | Tcp::ACK, 1, seq.wrapping_add(1))
}

impl Matcher {
    /// The two ends of `packet`: pid and rule, or the reason.
    fn ends(&self, packet: Packet, time: f64) -> [String; 2] {
        let verdict = self.attribute(&packet, &Seen::at(at(time)));
        [verdict.src, verdict.dst].map(|side| match side {
            SideVerdict::Named { owner, found, .. } => {
                format!("{} {found}", self.recordings().identity(owner).pid)
            }
            SideVerdict::Unnamed(reason) => reason.to_string(),
        })
    }
}

#[test]
fn every_packet_of_a_connection_names_both_ends_from_the_syn_on() {
    let matcher = World::new().connect(1, 10.0, 20.0).accept(2, 10.002, 20.5).syn(10.001, 7);
    let matcher = matcher.syn_ack(10.0011, 7).ready();
    assert_eq!(matcher.ends(syn_packet(7), 10.001), ["1 exact", "2 early"]);
    assert_eq!(matcher.ends(syn_ack_packet(7), 10.0011), ["2 early", "1 exact"]);
    assert_eq!(matcher.ends(data_up(), 15.0), ["1 exact", "2 exact"]);
    assert_eq!(matcher.ends(data_down(), 20.3), ["2 exact", "1 late"]);
    assert_eq!(matcher.ends(data_up(), 30.0), ["1 late", "2 late"]);
    assert_eq!(matcher.ends(data_up(), 90.0), ["no-socket", "no-socket"]);
}

#[test]
fn a_life_reaches_back_to_its_own_syn_however_long_ago() {
    let matcher =
        World::new().accept(2, 100.0, 120.0).syn(40.0, 7).syn(71.0, 7).syn(99.0, 7).ready();
    assert_eq!(matcher.ends(syn_packet(7), 40.0)[1], "2 early");
    assert_eq!(matcher.ends(data_up(), 95.0)[1], "2 early");
    assert_eq!(matcher.ends(data_up(), 39.9)[1], "no-socket");
}

#[test]
fn an_earlier_attempt_that_led_nowhere_is_not_the_lifes_own() {
    let matcher = World::new().accept(2, 12.0, 20.0).syn(10.0, 7).syn(11.0, 8).ready();
    assert_eq!(matcher.ends(syn_packet(7), 10.0)[1], "no-socket");
    assert_eq!(matcher.ends(data_up(), 10.5)[1], "no-socket");
    assert_eq!(matcher.ends(syn_packet(8), 11.0)[1], "2 early");
    assert_eq!(matcher.ends(data_up(), 11.5)[1], "2 early");
}

#[test]
fn without_a_syn_the_window_decides() {
    let matcher = World::new().accept(2, 100.0, 120.0).ready();
    assert_eq!(matcher.ends(data_up(), 95.1)[1], "2 early");
    assert_eq!(matcher.ends(data_up(), 94.9)[1], "no-socket");
}

#[test]
fn a_reused_tuple_is_split_at_the_new_syn() {
    // The old server socket lingers while the client opens the same tuple again.
    let matcher = World::new().accept(2, 10.0, 20.0).syn(9.9, 7).accept(3, 22.0, 30.0);
    let matcher = matcher.syn(21.5, 8).syn_ack(21.6, 8).ready();
    assert_eq!(matcher.ends(data_up(), 21.0)[1], "2 late");
    assert_eq!(matcher.ends(syn_packet(8), 21.5)[1], "3 early");
    assert_eq!(matcher.ends(data_up(), 21.55)[1], "3 early");
    // The old socket's challenge ACK, before the new one's SYN-ACK.
    assert_eq!(matcher.ends(data_down(), 21.55)[0], "2 late");
    assert_eq!(matcher.ends(syn_ack_packet(8), 21.6)[0], "3 early");
    assert_eq!(matcher.ends(data_down(), 21.7)[0], "3 early");
    // A late copy of the first SYN is still the first life's.
    assert_eq!(matcher.ends(syn_packet(7), 21.8)[1], "2 late");
}

#[test]
fn a_new_syn_ends_the_linger_even_if_no_life_follows() {
    let matcher = World::new().accept(2, 10.0, 20.0).syn(9.9, 7).syn(25.0, 8).ready();
    assert_eq!(matcher.ends(data_up(), 24.0)[1], "2 late");
    assert_eq!(matcher.ends(syn_packet(8), 25.0)[1], "no-socket");
    assert_eq!(matcher.ends(data_up(), 25.1)[1], "no-socket");
    // The kernel's RST that answers the new SYN is nobody's.
    let refused = tcp(request(Proto::TCP).reversed(), Tcp::RST | Tcp::ACK, 0, 9);
    assert_eq!(matcher.ends(refused, 25.001)[0], "no-socket");
}

#[test]
fn a_reused_client_port_belongs_to_the_new_process() {
    let matcher = World::new().connect(1, 10.0, 11.0).connect(5, 12.0, 13.0);
    let matcher = matcher.syn(10.001, 7).syn(12.001, 8).ready();
    assert_eq!(matcher.ends(data_up(), 11.5)[0], "1 late");
    assert_eq!(matcher.ends(syn_packet(8), 12.001)[0], "5 exact");
    assert_eq!(matcher.ends(data_up(), 12.5)[0], "5 exact");
}

#[test]
fn two_processes_at_once_are_ambiguous_one_process_twice_is_not() {
    let two = World::new().connect(1, 10.0, 20.0).connect(2, 11.0, 19.0).ready();
    assert_eq!(two.ends(data_up(), 15.0)[0], "ambiguous");
    assert_eq!(two.ends(data_up(), 10.5)[0], "1 exact");
    assert_eq!(two.ends(data_up(), 19.5)[0], "1 exact");
}

#[test]
fn a_life_whose_close_was_lost_ends_where_the_next_one_begins() {
    let mut world = World::new().connect(1, 10.0, 1000.0).connect(2, 20.0, 30.0);
    world.recordings.lives.update(LifeId(0), |life| life.closed = None);
    let matcher = world.ready();
    assert_eq!(matcher.ends(data_up(), 15.0)[0], "1 exact");
    assert_eq!(matcher.ends(data_up(), 25.0)[0], "2 exact");
    assert_eq!(matcher.ends(data_up(), 31.0)[0], "2 late");
    // In another namespace both may be open.
    let mut world = World::new().connect(1, 10.0, 1000.0).connect(2, 20.0, 30.0);
    world.recordings.lives.update(LifeId(0), |life| life.closed = None);
    world.recordings.lives.update(LifeId(1), |life| life.namespace = Some(NamespaceId(1)));
    assert_eq!(world.ready().ends(data_up(), 25.0)[0], "ambiguous");
}

#[test]
fn a_tuple_that_is_used_again_and_again_is_split_at_every_syn() {
    let mut world = World::new();
    for n in 0..3000_u32 {
        let start = f64::from(n) * 0.1;
        world = world.syn(start, n * 1000).accept(n + 1, start + 0.01, start + 0.05);
    }
    let matcher = world.ready();
    for n in [0_u32, 1, 1500, 2999] {
        let start = f64::from(n) * 0.1;
        let pid = n + 1;
        assert_eq!(matcher.ends(syn_packet(n * 1000), start)[1], format!("{pid} early"));
        assert_eq!(matcher.ends(data_up(), start + 0.005)[1], format!("{pid} early"));
        assert_eq!(matcher.ends(data_up(), start + 0.03)[1], format!("{pid} exact"));
        assert_eq!(matcher.ends(data_up(), start + 0.09)[1], format!("{pid} late"));
    }
}

#[test]
fn datagrams_are_early_only_for_their_sender_and_late_for_an_instant() {
    let tuple = request(Proto::UDP);
    let sender = World::new().life(1, Kind::UdpSend, tuple, 10.0, 20.0);
    let matcher = sender.life(2, Kind::UdpBind, tuple.reversed(), 9.0, 20.0).ready();
    let up = Packet::of(tuple);
    let down = Packet::of(tuple.reversed());
    assert_eq!(matcher.ends(up, 15.0), ["1 exact", "2 exact"]);
    assert_eq!(matcher.ends(up, 8.0), ["1 early", "no-socket"]);
    assert_eq!(matcher.ends(down, 8.0), ["2 early", "no-socket"]);
    assert_eq!(matcher.ends(up, 20.1), ["1 late", "no-socket"]);
    assert_eq!(matcher.ends(up, 20.3), ["no-socket", "no-socket"]);
}

#[test]
fn a_wildcard_socket_answers_for_every_address_of_its_port() {
    let local = Endpoint::v6([0; 16], server().port());
    let tuple = FiveTuple::new(Proto::UDP, local, client());
    let matcher = World::new().life(2, Kind::UdpRecv, tuple, 10.0, 20.0).ready();
    let up = Packet::of(request(Proto::UDP));
    assert_eq!(matcher.ends(up, 15.0)[1], "2 exact");
    let other_peer = FiveTuple { src: server(), ..request(Proto::UDP) };
    assert_eq!(matcher.ends(Packet::of(other_peer), 15.0)[1], "no-socket");
}

#[test]
fn a_socket_handed_over_names_its_new_process_from_then_on() {
    let mut world = World::new().connect(1, 10.0, 20.0);
    let owner = world.identity(9);
    world.recordings.handovers.push(Handover { life: LifeId(0), time_ns: at(15.0), owner });
    let matcher = world.ready();
    assert_eq!(matcher.ends(data_up(), 14.9)[0], "1 exact");
    assert_eq!(matcher.ends(data_up(), 15.0)[0], "9 exact");
}

#[test]
fn nobody_is_named_without_a_reason_that_fits_the_time_and_address() {
    let mut world = World::new();
    world.recordings.hosts[0].add_loss(at(50.0));
    let matcher = world.ready();
    assert_eq!(matcher.ends(data_up(), 10.0), ["no-socket", "no-socket"]);
    assert_eq!(matcher.ends(data_up(), -1.0)[0], "before-recording");
    assert_eq!(matcher.ends(data_up(), 1001.0)[0], "after-recording");
    assert_eq!(matcher.ends(data_up(), 49.5)[0], "in-loss");
    let tuple = FiveTuple { dst: Endpoint::v4([8, 8, 8, 8], 53), ..request(Proto::UDP) };
    assert_eq!(matcher.ends(Packet::of(tuple), 10.0)[1], "remote");
}

#[test]
fn a_known_socket_of_an_unknown_process_has_no_name() {
    let mut world = World::new().connect(1, 10.0, 20.0);
    world.recordings.lives.update(LifeId(0), |life| life.owner = None);
    assert_eq!(world.ready().ends(data_up(), 15.0)[0], "no-socket");
}
