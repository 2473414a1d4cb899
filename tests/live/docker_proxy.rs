//! docker-proxy itself, as Docker starts it, with many connections at once. Which of its sockets
//! belong together its clients and the server behind it know: a client says its port, and the
//! server sees from which port of docker-proxy that comes.

use std::{
    collections::{BTreeSet, HashMap},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    join::program,
    live::Scenario,
    program::PATIENCE,
    recording::Recording,
    rows::{EventRow, of_kind},
};

pub(crate) const ALL: &[Scenario] = &[
    ("connections_through_docker_proxy_are_paired", || pairs(false)),
    ("connections_through_an_older_docker_proxy_are_paired", || pairs(true)),
];

/// Clients at a time.
const CLIENTS: usize = 16;
/// Connections of a client, one after the other.
const ROUNDS: usize = 30;

/// Port of a client, and port of docker-proxy towards the server.
type Pair = (u16, u16);

/// Where it is: Debian has it where only root looks, others where nobody does.
const PATH: &str = "PATH=$PATH:/usr/sbin:/usr/libexec/docker";

/// Whether there is one to be tested.
fn is_there() -> Result<bool> {
    let script = format!("{PATH}; command -v docker-proxy");
    let found = Command::new("sh").args(["-c", &script]).output()?.status.success();
    let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
    ensure!(found || !required, "docker-proxy is needed (package docker.io)");
    if !found {
        eprintln!("skipped: there is no docker-proxy (package docker.io) to be watched");
    }
    Ok(found)
}

/// A running docker-proxy. It is killed with the test.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    fn start(back: SocketAddr) -> Result<Self> {
        // Given back at once: docker-proxy opens its port itself.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // It tells on descriptor 3 when it listens.
        let script = format!(
            "{PATH}; exec docker-proxy -proto tcp \
             -host-ip 127.0.0.1 -host-port {} -container-ip 127.0.0.1 -container-port {} 3>&1",
            address.port(),
            back.port()
        );
        let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn()?;
        let mut said = [0; 2];
        let mut stdout = child.stdout.take().context("no standard output")?;
        let proxy = Self { child, address };
        stdout.read_exact(&mut said).context("docker-proxy says nothing")?;
        ensure!(&said == b"0\n", "docker-proxy does not listen");
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells of every connection which client it is of, and from which port it came.
fn serve() -> Result<(SocketAddr, Arc<Mutex<Vec<Pair>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let pairs = Arc::new(Mutex::new(vec![]));
    let told = Arc::clone(&pairs);
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let told = Arc::clone(&told);
            thread::spawn(move || -> Result<()> {
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut client = [0; 2];
                stream.read_exact(&mut client)?;
                let pair = (u16::from_be_bytes(client), peer.port());
                told.lock().expect("no panic").push(pair);
                Ok(stream.write_all(&client)?)
            });
        }
    });
    Ok((address, pairs))
}

fn client(address: SocketAddr) -> Result<()> {
    for _ in 0..ROUNDS {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&stream.local_addr()?.port().to_be_bytes())?;
        stream.read_exact(&mut [0; 2])?;
    }
    Ok(())
}

fn traffic(address: SocketAddr) -> Result<()> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || client(address))).collect();
    for client in clients {
        client.join().ok().context("it panicked")??;
    }
    Ok(())
}

/// The ports of the sockets with these cookies: the peer's of an accepted one, the own of another.
fn ports(rows: &[EventRow], kind: Kind, pid: u32) -> HashMap<u64, u16> {
    let rows = of_kind(rows, kind).into_iter().filter(|row| row.pid == Some(pid));
    let port = |row: &EventRow| {
        let end = if kind == Kind::TcpAccept { row.remote } else { row.local };
        Some((row.socket_cookie?, end?.port()))
    };
    rows.filter_map(port).collect()
}

/// `older` is whether docker-proxy runs, and has made pipes, before the recording does.
fn pairs(older: bool) -> Result<()> {
    if !is_there()? {
        return Ok(());
    }
    let ebpfrec = program("ebpfrec");
    let (back, truth) = serve()?;
    let started = if older { Some(Proxy::start(back)?) } else { None };
    if let Some(proxy) = &started {
        traffic(proxy.address)?;
        truth.lock().expect("no panic").clear();
    }
    let recording = Recording::start(&ebpfrec, &["--events", "ev.parquet"])?;
    let proxy = started.map_or_else(|| Proxy::start(back), Ok)?;
    traffic(proxy.address)?;
    let pid = proxy.child.id();
    let (meta, rows) = recording.finish()?.events("ev.parquet")?;
    drop(proxy);

    let fronts = ports(&rows, Kind::TcpAccept, pid);
    let backs = ports(&rows, Kind::TcpConnect, pid);
    let mut told = vec![];
    for row in of_kind(&rows, Kind::Forward).into_iter().filter(|row| row.pid == Some(pid)) {
        let port = |of: &HashMap<u64, u16>, cookie: Option<u64>| of.get(&cookie?).copied();
        let pair = port(&fronts, row.socket_cookie).zip(port(&backs, row.peer_cookie));
        told.push(pair.with_context(|| format!("{row:#?}"))?);
    }
    told.sort_unstable();
    let mut truth = truth.lock().expect("no panic").clone();
    truth.sort_unstable();
    let wrong: BTreeSet<&Pair> = told.iter().filter(|pair| !truth.contains(pair)).collect();
    ensure!(wrong.is_empty(), "of {} pairs these are wrong: {wrong:?}", told.len());
    ensure!(truth.len() == CLIENTS * ROUNDS, "{} connections", truth.len());
    ensure!(told == truth, "{} of {} pairs; {}", told.len(), truth.len(), meta.hooks);
    Ok(())
}
