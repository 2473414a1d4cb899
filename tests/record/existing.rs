//! Sockets that are older than the recording: listed at its start, in every namespace, with the
//! process that holds them.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::Program,
    recording::Recording,
    rows::{EventRow, only},
};

pub(crate) const ALL: &[Scenario] = &[
    ("a_connection_older_than_the_recording_has_both_processes", connection),
    ("udp_sockets_older_than_the_recording_have_their_process", datagrams),
    ("sockets_of_another_namespace_are_listed", namespace),
    ("what_is_accepted_from_an_older_listener_has_its_owner", accepted),
    ("an_older_listener_shared_by_a_family_is_its_fathers", shared),
    ("the_end_of_an_older_socket_is_told", end),
    ("what_the_hooks_saw_is_not_listed_again", once),
    ("after_a_loss_what_is_still_open_is_told_again", after_a_loss),
];

const EVENTS: &[&str] = &["--events", "ev.parquet"];

/// The only row about a socket that was there, of this process and with this peer.
fn listed(rows: &[EventRow], pid: u32, remote: Option<SocketAddr>) -> Result<&EventRow> {
    let mut found = rows
        .iter()
        .filter(|row| row.kind == Kind::Socket && row.pid == Some(pid) && row.remote == remote);
    let row = found.next().with_context(|| format!("no socket of {pid} with {remote:?}"))?;
    ensure!(found.next().is_none(), "more than one socket of {pid} with {remote:?}");
    ensure!(row.source == "snapshot" && row.socket_cookie.is_some(), "{row:#?}");
    Ok(row)
}

fn connection() -> Result<()> {
    let mut holder = Program::start(&["tcp-holder", "[::1]:0"])?;
    let listening: SocketAddr = holder.value("listening")?;
    let local: SocketAddr = holder.value("local")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let pid = holder.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    holder.finish()?;
    let listener = listed(&rows, pid, None)?;
    ensure!(listener.local == Some(listening) && listener.direction.is_none(), "{listener:#?}");
    // Who opened it nobody saw.
    let opened = listed(&rows, pid, Some(listening))?;
    ensure!(opened.local == Some(local) && opened.direction.is_none(), "{opened:#?}");
    let taken = listed(&rows, pid, Some(local))?;
    ensure!(taken.local == Some(listening), "{taken:#?}");
    ensure!(taken.direction.as_deref() == Some("in"), "{taken:#?}");
    let exe = std::env::current_exe()?;
    ensure!(taken.exe.as_deref() == exe.to_str(), "{taken:#?}");
    ensure!(taken.netns == Some(own_netns()?), "{taken:#?}");
    Ok(())
}

fn datagrams() -> Result<()> {
    let mut bound = Program::start(&["udp-server", "0.0.0.0:0", "1"])?;
    let listening: SocketAddr = bound.value("listening")?;
    let server = SocketAddr::from(([127, 0, 0, 1], listening.port()));
    let mut connected = Program::start(&["udp-holder", &server.to_string()])?;
    let local: SocketAddr = connected.value("local")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let (bound_pid, connected_pid) = (bound.pid(), connected.pid());
    // Ends the server.
    std::net::UdpSocket::bind("127.0.0.1:0")?.send_to(b"question", server)?;
    connected.finish()?;
    bound.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    ensure!(listed(&rows, bound_pid, None)?.local == Some(listening));
    ensure!(listed(&rows, connected_pid, Some(server))?.local == Some(local));
    Ok(())
}

fn namespace() -> Result<()> {
    let mut far = Program::start(&["in-netns", "tcp-server", "0.0.0.0:0"])?;
    let _: u64 = far.value("start")?;
    let listening: SocketAddr = far.value("listening")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let pid = far.pid();
    let inode = netns(&format!("/proc/{pid}/ns/net"))?;
    ensure!(inode != own_netns()?);
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    drop(far);
    let row = listed(&rows, pid, None)?;
    ensure!(row.local == Some(listening) && row.netns == Some(inode), "{row:#?}");
    Ok(())
}

fn accepted() -> Result<()> {
    let mut server = Program::start(&["tcp-server", "127.0.0.1:0"])?;
    let _: u64 = server.value("start")?;
    let listening: SocketAddr = server.value("listening")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut client = Program::start(&["tcp-client", &listening.to_string(), "10"])?;
    let _: u64 = client.value("start")?;
    let local: SocketAddr = client.value("local")?;
    ensure!(client.value::<u64>("received")? == 10);
    let server_pid = server.pid();
    client.finish()?;
    server.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let accept = only(&rows, Kind::TcpAccept, server_pid)?;
    ensure!((accept.local, accept.remote) == (Some(listening), Some(local)), "{accept:#?}");
    let close = rows
        .iter()
        .find(|row| row.kind == Kind::TcpClose && row.socket_cookie == accept.socket_cookie)
        .context("the accepted socket was not closed")?;
    ensure!(close.pid == Some(server_pid), "{close:#?}");
    Ok(())
}

fn shared() -> Result<()> {
    let mut master = Program::start(&["tcp-master", "tcp-worker", "127.0.0.1:0"])?;
    let listening: SocketAddr = master.value("listening")?;
    let worker: u32 = master.value("worker")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let master_pid = master.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    // Which ends its worker.
    master.finish()?;
    ensure!(listed(&rows, master_pid, None)?.local == Some(listening));
    ensure!(!rows.iter().any(|row| row.pid == Some(worker) && row.kind == Kind::Socket));
    Ok(())
}

fn end() -> Result<()> {
    let mut holder = Program::start(&["tcp-holder", "127.0.0.1:0"])?;
    let listening: SocketAddr = holder.value("listening")?;
    let local: SocketAddr = holder.value("local")?;
    let mut bound = Program::start(&["udp-holder", &listening.to_string()])?;
    let bound_to: SocketAddr = bound.value("local")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let (pid, udp_pid) = (holder.pid(), bound.pid());
    holder.finish()?;
    bound.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    for remote in [None, Some(listening), Some(local)] {
        let opened = listed(&rows, pid, remote)?;
        let closed = rows
            .iter()
            .find(|row| row.kind == Kind::TcpClose && row.socket_cookie == opened.socket_cookie)
            .with_context(|| format!("no end of the socket with {remote:?}"))?;
        ensure!((closed.local, closed.remote) == (opened.local, remote), "{closed:#?}");
        ensure!(closed.pid == Some(pid) && closed.direction == opened.direction, "{closed:#?}");
        ensure!(closed.boot_ns >= opened.boot_ns, "{closed:#?}");
    }
    let closed = only(&rows, Kind::UdpClose, udp_pid)?;
    ensure!((closed.local, closed.remote) == (Some(bound_to), Some(listening)), "{closed:#?}");
    Ok(())
}

fn once() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut holder = Program::start(&["tcp-holder", "127.0.0.1:0"])?;
    let _: SocketAddr = holder.value("listening")?;
    let _: SocketAddr = holder.value("local")?;
    let pid = holder.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    drop(holder);
    only(&rows, Kind::TcpConnect, pid)?;
    only(&rows, Kind::TcpAccept, pid)?;
    ensure!(!rows.iter().any(|row| row.pid == Some(pid) && row.kind == Kind::Socket));
    Ok(())
}

fn own_netns() -> Result<u64> {
    netns("/proc/self/ns/net")
}

/// Inode of a namespace.
fn netns(path: &str) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata(path)?.ino())
}

fn after_a_loss() -> Result<()> {
    // A ring that is too small for what follows.
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet", "--ring-size", "16K"])?;
    let held = UdpSocket::bind("127.0.0.1:0")?;
    let gone = UdpSocket::bind("127.0.0.1:0")?;
    let ports = [held.local_addr()?, gone.local_addr()?];
    let begin = Instant::now();
    let mut gone = Some(gone);
    while begin.elapsed() < Duration::from_secs(2) {
        drop(UdpSocket::bind("127.0.0.1:0")?);
        if begin.elapsed() > Duration::from_secs(1) {
            gone = None;
        }
    }
    drop(gone);
    // Nothing tells from outside when it has been done: it takes as long as other tests go on to
    // fill the ring, and no more than ten seconds.
    std::thread::sleep(Duration::from_secs(13));
    let (meta, rows) = recording.finish()?.events("ev.parquet")?;
    let lost: serde_json::Value = serde_json::from_str(&meta.lost)?;
    ensure!(lost["ring"].as_u64() > Some(0), "{lost}");
    let losses: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Lost).collect();
    let told: u64 = losses.iter().filter_map(|row| row.count).sum();
    let total: u64 = lost.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    ensure!(told == total, "{told} of {total} are told");
    // Each row tells of the second before it. While it goes on no moment is left out: the ring is full
    // for two seconds.
    let spans = losses.windows(2).map(|pair| pair[1].boot_ns.abs_diff(pair[0].boot_ns));
    ensure!(spans.clone().filter(|&span| span < 2_000_000_000).all(|span| span <= 1_000_000_000));
    let first_loss = rows.iter().find(|row| row.kind == Kind::Lost).context("no loss")?.boot_ns;
    let again = |local| {
        let is_it = |row: &&EventRow| row.kind == Kind::Socket && row.local == Some(local);
        rows.iter().filter(is_it).filter(|row| row.boot_ns > first_loss).count()
    };
    ensure!(again(ports[0]) > 0 && again(ports[1]) == 0, "{:?}", ports.map(again));
    Ok(())
}
