//! The facts of the incident as the rows that a recorder would have written.

use std::fs::File;
use std::path::Path;

use schema::batch::{BatchBuilder, EventWriter};
use schema::community_id::community_id;
use schema::meta::FileMeta;
use schema::{Endpoint, Event, FiveTuple, Kind, Proto, Source};

use crate::world::{
    CONTAINERS, Container, Datagrams, END_NS, End, Fate, Forward, Gap, HOST_NETNS, HOSTS,
    Interface, Loss, MS_NS, Nat, Process, Role, SECOND_NS, START_NS, Socket, Who, World,
};

/// `CLOCK_BOOTTIME` at the beginning: the machines were up for a while.
const UP_NS: i64 = 1_000_000_000_000;

/// A row, before it is written.
enum Row<'a> {
    Socket(Kind, &'a Socket, Who),
    Datagrams(&'a Socket, &'a Datagrams),
    Process(Kind, &'a Process),
    Nat(Kind, &'a Nat),
    Forward(&'a Forward),
    Interface(&'a Interface),
    Publish,
    Loss(&'a Loss),
    Clock,
}

/// Writes `ev-HOST.parquet` for every machine.
pub(crate) fn write(world: &World, folder: &Path) {
    for (host, _) in HOSTS {
        let mut rows = rows(world, host);
        rows.sort_by_key(|&(time, _)| boot_ns(world, host, time));
        let mut builder = BatchBuilder::default();
        let mut seq = 0;
        let mut last = START_NS;
        for (time, row) in &rows {
            let missing = |gap: &&Gap| gap.host == host && (last..*time).contains(&gap.at);
            seq += world.gaps.iter().filter(missing).map(|gap| gap.rows).sum::<u64>();
            append(&mut builder, world, (host, seq, *time), row);
            seq += 1;
            last = *time;
        }
        let file = File::create(folder.join(format!("ev-{host}.parquet"))).expect("a file");
        let mut writer = EventWriter::new(file).expect("a writer");
        writer.write(&builder.finish()).expect("written");
        let meta = FileMeta {
            host: host.into(),
            boot_id: format!("boot-{host}"),
            start: "2026-11-23T03:00:00.000000000Z".into(),
            end: "2026-11-23T03:10:00.000000000Z".into(),
            complete: true,
            ..FileMeta::default()
        };
        writer.finish(&meta).expect("a footer");
    }
}

/// The time that a machine's clock which is never set shows.
fn boot_ns(world: &World, host: &str, time: i64) -> i64 {
    let steps = world.steps.iter().filter(|step| step.host == host && step.at <= time);
    time - START_NS + UP_NS - steps.map(|step| step.by_ns).sum::<i64>()
}

fn rows<'a>(world: &'a World, host: &str) -> Vec<(i64, Row<'a>)> {
    let mut rows = vec![];
    for process in world.processes.iter().filter(|process| process.host == host) {
        if process.start >= START_NS {
            rows.push((process.start + MS_NS, Row::Process(Kind::Exec, process)));
        }
        rows.extend(process.exit.map(|exit| (exit, Row::Process(Kind::Exit, process))));
    }
    for socket in world.sockets.iter().filter(|socket| world.host(socket) == host) {
        socket_rows(socket, &mut rows);
    }
    for nat in world.nats.iter().filter(|nat| nat.host == host) {
        rows.push((nat.from, Row::Nat(Kind::Nat, nat)));
        if nat.to < END_NS {
            rows.push((nat.to, Row::Nat(Kind::NatEnd, nat)));
        }
    }
    let here = |forward: &&Forward| world.processes[forward.who].host == host;
    rows.extend(world.forwards.iter().filter(here).map(|row| (row.at, Row::Forward(row))));
    let interfaces = world.interfaces.iter().filter(|interface| interface.host == host);
    rows.extend(interfaces.map(|row| (row.at, Row::Interface(row))));
    let losses = world.losses.iter().filter(|loss| loss.host == host);
    rows.extend(losses.map(|row| (row.at, Row::Loss(row))));
    if host == "web-1" {
        rows.push((START_NS, Row::Publish));
    }
    rows.extend((0..=60).map(|n| (START_NS + n * 10 * SECOND_NS, Row::Clock)));
    rows
}

fn socket_rows<'a>(socket: &'a Socket, rows: &mut Vec<(i64, Row<'a>)>) {
    let mut add = |time, kind, who| rows.push((time, Row::Socket(kind, socket, who)));
    let is_tcp = socket.proto == "tcp";
    let first = socket.listener.unwrap_or(socket.owner);
    let opening = match (socket.role, is_tcp) {
        _ if socket.existed => Kind::Socket,
        (Role::Opened, true) => Kind::TcpConnect,
        (Role::Accepted, _) => Kind::TcpAccept,
        (Role::Bound, true) => Kind::TcpListen,
        (Role::Opened, false) => Kind::UdpConnect,
        (Role::Bound, false) => Kind::UdpBind,
    };
    add(socket.opened, opening, first);
    if let Some(latency) = socket.latency_us {
        add(socket.opened + i64::from(latency) * 1000, Kind::TcpEstablished, socket.owner);
    }
    if socket.listener.is_some() {
        add(socket.opened + MS_NS, Kind::Owner, socket.owner);
    }
    if let Some((time, who)) = socket.handed {
        add(time, Kind::Owner, who);
    }
    for &time in &socket.retransmits {
        add(time, Kind::TcpRetransmit, socket.owner);
    }
    let last = socket.handed.map_or(socket.owner, |(_, who)| who);
    match socket.fate {
        Fate::Open => {}
        Fate::Closed { at, .. } if is_tcp => add(at, Kind::TcpClose, last),
        Fate::Closed { at, .. } => add(at, Kind::UdpClose, last),
        Fate::Failed { at, .. } => add(at, Kind::TcpConnectFail, last),
    }
    rows.extend(socket.datagrams.iter().map(|of| (of.at, Row::Datagrams(socket, of))));
}

fn append(
    builder: &mut BatchBuilder,
    world: &World,
    (host, seq, ts): (&str, u64, i64),
    row: &Row<'_>,
) {
    let boot_ns = u64::try_from(boot_ns(world, host, ts)).expect("up");
    let mut event =
        Event { ts, boot_ns, host, seq, source: Source::Probe.as_str(), ..Event::default() };
    let id;
    match row {
        Row::Socket(kind, socket, who) => {
            event.kind = kind.as_str();
            if *kind == Kind::Socket {
                event.source = Source::Snapshot.as_str();
            }
            id = describe_socket(*kind, socket, *who, &mut event);
            event.community_id = id.as_deref();
            event.netns = Some(world.owner(socket).netns());
            describe_process(&world.processes[*who], &mut event);
        }
        Row::Datagrams(socket, datagrams) => {
            let (kind, direction) =
                if datagrams.sent { (Kind::UdpSend, "out") } else { (Kind::UdpRecv, "in") };
            event.kind = kind.as_str();
            event.direction = Some(direction);
            event.proto = Some("udp");
            event.socket_cookie = Some(socket.cookie);
            (event.local_addr, event.local_port) = known(&socket.local);
            let peer = &datagrams.peer;
            (event.remote_addr, event.remote_port) = known(peer);
            event.count = Some(datagrams.count);
            let bytes =
                if datagrams.sent { &mut event.bytes_sent } else { &mut event.bytes_received };
            *bytes = Some(datagrams.bytes);
            event.netns = Some(world.owner(socket).netns());
            describe_process(&world.processes[socket.owner], &mut event);
        }
        Row::Process(kind, process) => {
            event.kind = kind.as_str();
            describe_process(process, &mut event);
        }
        Row::Nat(kind, nat) => {
            event.kind = kind.as_str();
            event.source = Source::Conntrack.as_str();
            event.netns = Some(HOST_NETNS);
            event.proto = Some("tcp");
            let [local, remote] = &nat.original;
            (event.local_addr, event.local_port) = known(local);
            (event.remote_addr, event.remote_port) = known(remote);
            let [src, dst] = &nat.onward;
            (event.nat_src_addr, event.nat_src_port) = known(src);
            (event.nat_dst_addr, event.nat_dst_port) = known(dst);
        }
        Row::Forward(forward) => {
            event.kind = Kind::Forward.as_str();
            event.proto = Some("tcp");
            event.socket_cookie = Some(forward.front);
            event.peer_cookie = Some(forward.back);
            describe_process(&world.processes[forward.who], &mut event);
        }
        Row::Interface(interface) => {
            event.kind = Kind::Interface.as_str();
            event.source = Source::Snapshot.as_str();
            event.ifname = Some(interface.name);
            event.ifindex = Some(interface.index);
            event.local_addr = interface.address;
            event.error = interface.removed.then_some("removed");
            let serves = CONTAINERS.iter().find(|of| Some(of.name) == interface.serves);
            let inside = serves.filter(|_| interface.inside);
            event.netns = Some(inside.map_or(HOST_NETNS, |container| container.netns));
            describe_container(serves, &mut event);
        }
        Row::Publish => {
            event.kind = Kind::Publish.as_str();
            event.source = Source::Runtime.as_str();
            event.proto = Some("tcp");
            (event.local_addr, event.local_port) = (Some("0.0.0.0"), Some(4443));
            (event.nat_dst_addr, event.nat_dst_port) = (Some("172.17.0.2"), Some(8080));
            describe_container(CONTAINERS.first(), &mut event);
        }
        Row::Loss(loss) => {
            event.kind = Kind::Lost.as_str();
            event.source = Source::Recorder.as_str();
            event.error = Some(loss.stage);
            event.count = Some(loss.count);
        }
        Row::Clock => {
            event.kind = Kind::Clock.as_str();
            event.source = Source::Recorder.as_str();
            event.mono_offset_ns = Some(ts - boot_ns.cast_signed());
        }
    }
    builder.append(&event);
}

fn known((address, port): &End) -> (Option<&str>, Option<u16>) {
    (Some(address), Some(*port))
}

/// Returns the Community ID.
fn describe_socket<'a>(
    kind: Kind,
    socket: &'a Socket,
    who: Who,
    event: &mut Event<'a>,
) -> Option<String> {
    event.proto = Some(socket.proto);
    event.socket_cookie = Some(socket.cookie);
    (event.local_addr, event.local_port) = known(&socket.local);
    let handed_over = kind == Kind::Owner && socket.handed.is_some_and(|(_, to)| to == who);
    event.direction = match socket.role {
        _ if handed_over => None,
        // Of a socket from before nobody knows who opened it, unless its listener is there.
        Role::Opened if socket.existed => None,
        Role::Opened => Some("out"),
        Role::Accepted => Some("in"),
        Role::Bound => None,
    };
    match (kind, socket.fate) {
        (Kind::TcpEstablished, _) => event.latency_us = socket.latency_us,
        (Kind::TcpRetransmit, _) => event.count = Some(1),
        (Kind::TcpClose, Fate::Closed { sent, received, .. }) => {
            event.bytes_sent = Some(sent);
            event.bytes_received = Some(received);
            event.retransmits = u32::try_from(socket.retransmits.len()).ok();
        }
        (Kind::TcpConnectFail, Fate::Failed { errno, .. }) => event.error = Some(errno),
        _ => {}
    }
    let remote = socket.remote.as_ref()?;
    (event.remote_addr, event.remote_port) = known(remote);
    let proto = if socket.proto == "tcp" { Proto::TCP } else { Proto::UDP };
    let end = |(address, port): &End| Endpoint::new(address.parse().expect("an address"), *port);
    let local = end(&socket.local);
    community_id(FiveTuple::new(proto, local, end(remote)))
}

fn describe_process<'a>(process: &'a Process, event: &mut Event<'a>) {
    event.pid = Some(process.pid);
    event.tid = Some(process.pid);
    event.user = Some(process.user);
    event.comm = Some(process.comm);
    event.exe = Some(process.exe);
    event.cmdline = Some(&process.cmdline);
    event.start_ts = Some(process.start);
    event.parent_exe = Some(process.parent);
    describe_container(process.container.as_ref(), event);
}

fn describe_container<'a>(container: Option<&'a Container>, event: &mut Event<'a>) {
    let Some(container) = container else { return };
    event.container_id = Some(container.id);
    event.container_name = Some(container.name);
    event.container_image = Some(container.image);
    event.container_runtime = Some(container.runtime);
    if let Some((namespace, name)) = container.pod {
        event.pod_namespace = Some(namespace);
        event.pod_name = Some(name);
    }
}
