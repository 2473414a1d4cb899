//! Who a socket belongs to when it is not who opened it: workers behind a listener, sockets passed
//! in a message, sockets inherited.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::{PATIENCE, Program},
    recording::Recording,
    rows::{EventRow, of_kind, only},
};

pub(crate) const ALL: &[Scenario] = &[
    ("a_worker_that_reads_owns_the_socket_while_it_is_open", worker_reads),
    ("a_socket_passed_in_a_message_is_owned_from_then_on", passed),
    ("a_socket_inherited_by_a_child_is_owned_from_then_on", inherited),
    ("who_reads_what_it_accepted_needs_no_owner_row", reads_itself),
    ("processes_that_take_turns_on_a_socket_are_not_reported_each_time", turns),
];

const EVENTS: &[&str] = &["--events", "ev.parquet"];

fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn owner_rows(rows: &[EventRow], local: SocketAddr, remote: SocketAddr) -> Vec<&EventRow> {
    let ends = (Some(local), Some(remote));
    let owners = of_kind(rows, Kind::Owner).into_iter();
    owners.filter(|row| (row.local, row.remote) == ends).collect()
}

fn worker_reads() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut master = Program::start(&["tcp-master", "tcp-reader", "127.0.0.1:0"])?;
    let listening: SocketAddr = master.value("listening")?;
    let worker: u32 = master.value("worker")?;
    let mut client = connect(listening)?;
    client.write_all(b"to the worker")?;
    // It has read once it says so.
    let _: u32 = master.value("read")?;
    let master_pid = master.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let local = client.local_addr()?;
    drop(client);
    master.finish()?;
    let accept = only(&rows, Kind::TcpAccept, master_pid)?;
    let owner = only(&rows, Kind::Owner, worker)?;
    ensure!(owner.socket_cookie == accept.socket_cookie, "{owner:#?}");
    ensure!((owner.local, owner.remote) == (Some(listening), Some(local)), "{owner:#?}");
    ensure!(owner.direction.as_deref() == Some("in"), "for its whole life: {owner:#?}");
    let closed = rows
        .iter()
        .any(|row| row.kind == Kind::TcpClose && row.socket_cookie == accept.socket_cookie);
    ensure!(!closed, "the connection is open still");
    Ok(())
}

fn passed() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut giver = Program::start(&["tcp-giver", "127.0.0.1:0"])?;
    let listening: SocketAddr = giver.value("listening")?;
    let mut client = connect(listening)?;
    client.write_all(b"1")?;
    let _: u32 = giver.value("read")?;
    client.write_all(b"2")?;
    let taker: u32 = giver.value("taken")?;
    let (giver_pid, local) = (giver.pid(), client.local_addr()?);
    drop(client);
    giver.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let accept = only(&rows, Kind::TcpAccept, giver_pid)?;
    let owners = owner_rows(&rows, listening, local);
    let [owner] = owners[..] else { anyhow::bail!("not one: {owners:#?}") };
    ensure!(owner.pid == Some(taker) && owner.direction.is_none(), "{owner:#?}");
    ensure!(owner.socket_cookie == accept.socket_cookie && owner.boot_ns > accept.boot_ns);
    let close = rows
        .iter()
        .find(|row| row.kind == Kind::TcpClose && row.socket_cookie == accept.socket_cookie)
        .context("it was closed")?;
    ensure!(close.pid == Some(taker), "{close:#?}");
    Ok(())
}

fn inherited() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let listening = listener.local_addr()?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut parent = Program::start(&["tcp-parent", &listening.to_string()])?;
    let (mut stream, local) = listener.accept()?;
    stream.write_all(b"1")?;
    let child: u32 = parent.value("child")?;
    let parent_pid = parent.pid();
    parent.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let opened = only(&rows, Kind::TcpConnect, parent_pid)?;
    let owners = owner_rows(&rows, local, listening);
    let [owner] = owners[..] else { anyhow::bail!("not one: {owners:#?}") };
    ensure!(owner.pid == Some(child) && owner.direction.is_none(), "{owner:#?}");
    ensure!(owner.socket_cookie == opened.socket_cookie && owner.boot_ns > opened.boot_ns);
    ensure!(owner.ppid == Some(parent_pid), "{owner:#?}");
    Ok(())
}

fn reads_itself() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut server = Program::start(&["tcp-server", "127.0.0.1:0"])?;
    let _: u64 = server.value("start")?;
    let listening: SocketAddr = server.value("listening")?;
    let mut client = connect(listening)?;
    client.write_all(b"x")?;
    let local = client.local_addr()?;
    drop(client);
    server.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let owners = owner_rows(&rows, listening, local);
    ensure!(owners.is_empty(), "{owners:#?}");
    Ok(())
}

fn turns() -> Result<()> {
    const TURNS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let listening = listener.local_addr()?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut parent = Program::start(&["tcp-turns", &listening.to_string(), &TURNS.to_string()])?;
    let (mut stream, local) = listener.accept()?;
    // A byte for each of both, in every turn.
    stream.write_all(&[b'x'; 2 * TURNS])?;
    let taken: usize = parent.value("turns")?;
    ensure!(taken == TURNS);
    parent.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let owners = owner_rows(&rows, local, listening).len();
    ensure!((2..=5).contains(&owners), "{owners} rows for {TURNS} turns");
    Ok(())
}
