//! Which connection of a forwarder belongs to which, held against what the forwarder knows.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;
use tempfile::TempDir;

use super::{
    EBPFREC,
    live::Scenario,
    program::{PATIENCE, Program},
    recording::Recording,
    rows::{EventRow, of_kind},
};

pub(crate) const ALL: &[Scenario] = &[
    ("connections_of_a_forwarder_are_paired_whatever_their_order", shuffled),
    ("a_forwarder_older_than_the_recording_is_known_with_its_pipes", older),
    ("data_that_goes_one_way_pairs_connections_too", one_way),
    ("nobody_is_taken_for_a_forwarder_unasked", unnamed),
    ("connections_are_paired_in_every_part_that_needs_it", again),
];

/// The name of the program in these tests.
const NAME: &str = "a-test-proxy";
const ARGS: &[&str] = &["--events", "ev.parquet", "--forwarder", NAME];
/// Clients at a time.
const CLIENTS: usize = 24;
/// Connections of a client, one after the other, so that descriptors are used again.
const ROUNDS: usize = 12;

/// A forwarder under a name of its own.
struct Forwarder {
    program: Program,
    address: SocketAddr,
    // Holds the link by which it was started.
    _folder: TempDir,
}

impl Forwarder {
    fn start(back: SocketAddr, burst: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let link = folder.path().join(NAME);
        symlink(std::env::current_exe()?, &link)?;
        let (back, burst) = (back.to_string(), burst.to_string());
        let link: &Path = &link;
        let name = link.to_str().context("not UTF-8")?;
        let mut program = Program::start(&["under-name", name, "tcp-forwarder", &back, &burst])?;
        let address = program.value("listening")?;
        Ok(Self { program, address, _folder: folder })
    }

    fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Ends it, and returns which sockets belong together: the taken one, and the one made for it.
    fn pairs(self) -> Result<BTreeSet<(u64, u64)>> {
        let lines = self.program.rest()?;
        let pair = |line: &String| -> Option<(u64, u64)> {
            let (front, back) = line.strip_prefix("pair ")?.split_once(' ')?;
            Some((front.parse().ok()?, back.parse().ok()?))
        };
        lines.iter().map(|line| pair(line).with_context(|| format!("it said {line}"))).collect()
    }
}

/// Answers every connection with what it says, until the test ends.
fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut bytes = [0; 512];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says something, and reads the answer.
fn talk(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"question")?;
    Ok(stream.read_exact(&mut [0; 8])?)
}

/// So many clients at once, each with so many connections after each other.
fn traffic(address: SocketAddr, clients: usize, rounds: usize) -> Result<()> {
    let client = move || -> Result<()> {
        for _ in 0..rounds {
            talk(&mut connect(address)?)?;
        }
        Ok(())
    };
    let clients: Vec<_> = (0..clients).map(|_| thread::spawn(client)).collect();
    for client in clients {
        client.join().ok().context("it panicked")??;
    }
    Ok(())
}

/// The rows of process `pid`; the machine may have a docker-proxy of its own.
fn forwards(rows: &[EventRow], pid: u32) -> Vec<&EventRow> {
    of_kind(rows, Kind::Forward).into_iter().filter(|row| row.pid == Some(pid)).collect()
}

/// The pairs that rows of process `pid` tell of.
fn told(rows: &[EventRow], pid: u32) -> Result<BTreeSet<(u64, u64)>> {
    let pairs: Option<Vec<_>> =
        forwards(rows, pid).iter().map(|row| row.socket_cookie.zip(row.peer_cookie)).collect();
    Ok(pairs.context("a row without both sockets")?.into_iter().collect())
}

fn compare(told: &BTreeSet<(u64, u64)>, truth: &BTreeSet<(u64, u64)>) -> Result<()> {
    let wrong: Vec<_> = told.difference(truth).collect();
    let missing: Vec<_> = truth.difference(told).collect();
    ensure!(
        wrong.is_empty() && missing.is_empty(),
        "of {} pairs {} are told, wrong: {wrong:?}, missing: {missing:?}",
        truth.len(),
        told.len()
    );
    Ok(())
}

fn shuffled() -> Result<()> {
    let recording = Recording::start(EBPFREC, ARGS)?;
    let forwarder = Forwarder::start(echo()?, CLIENTS)?;
    let (pid, address) = (forwarder.pid(), forwarder.address);
    traffic(address, CLIENTS, ROUNDS)?;
    let truth = forwarder.pairs()?;
    ensure!(truth.len() == CLIENTS * ROUNDS, "{} connections", truth.len());
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    compare(&told(&rows, pid)?, &truth)?;
    for row in forwards(&rows, pid) {
        let front = row.local == Some(address) && row.direction.as_deref() == Some("in");
        ensure!(front && row.comm.as_deref() == Some(NAME), "{row:#?}");
    }
    Ok(())
}

/// The forwarder, a connection and pipes are there before; the pipes are used again.
fn older() -> Result<()> {
    let forwarder = Forwarder::start(echo()?, CLIENTS)?;
    let (pid, address) = (forwarder.pid(), forwarder.address);
    let open: Result<Vec<_>> = (0..CLIENTS).map(|_| connect(address)).collect();
    let mut open = open?;
    for stream in &mut open {
        talk(stream)?;
    }
    let recording = Recording::start(EBPFREC, ARGS)?;
    for stream in &mut open {
        // The calls that wait for the first of these began before there was anybody to see them.
        talk(stream)?;
        talk(stream)?;
    }
    drop(open);
    traffic(address, CLIENTS, 2)?;
    let truth = forwarder.pairs()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    compare(&told(&rows, pid)?, &truth)
}

/// A server that never answers, and clients that end the conversation.
fn one_way() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let back = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<()> {
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_to_end(&mut vec![])?;
        }
        Ok(())
    });
    let recording = Recording::start(EBPFREC, ARGS)?;
    let forwarder = Forwarder::start(back, CLIENTS)?;
    let (pid, address) = (forwarder.pid(), forwarder.address);
    let clients: Result<Vec<_>> = (0..CLIENTS).map(|_| connect(address)).collect();
    let mut clients = clients?;
    for client in &mut clients {
        client.write_all(b"statement")?;
        client.shutdown(Shutdown::Write)?;
    }
    for client in &mut clients {
        ensure!(client.read(&mut [0])? == 0, "an answer");
    }
    server.join().ok().context("it panicked")??;
    let truth = forwarder.pairs()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    compare(&told(&rows, pid)?, &truth)
}

fn unnamed() -> Result<()> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    let forwarder = Forwarder::start(echo()?, 1)?;
    let pid = forwarder.pid();
    traffic(forwarder.address, 1, 3)?;
    ensure!(forwarder.pairs()?.len() == 3);
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let forwards = forwards(&rows, pid);
    ensure!(forwards.is_empty(), "{forwards:#?}");
    Ok(())
}

/// What a reader of a later part alone must know is told again in it.
fn again() -> Result<()> {
    let args = [ARGS, &["--rotate-time", "1s"]].concat();
    let recording = Recording::start(EBPFREC, &args)?;
    let forwarder = Forwarder::start(echo()?, 1)?;
    let pid = forwarder.pid();
    let mut stream = connect(forwarder.address)?;
    talk(&mut stream)?;
    let third = recording.folder().join("ev.000003.parquet");
    let until = std::time::Instant::now() + PATIENCE;
    while !third.exists() {
        ensure!(std::time::Instant::now() < until, "there is no third part");
        thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(stream);
    let truth = forwarder.pairs()?;
    let finished = recording.finish()?;
    for part in ["ev.000001.parquet", "ev.000002.parquet"] {
        let (_, rows) = finished.events(part)?;
        compare(&told(&rows, pid)?, &truth).context(part)?;
    }
    Ok(())
}
