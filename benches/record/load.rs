//! The traffic: this same executable, started again. It says `ready`, begins when a line comes in,
//! and says what it managed to do. Everything is on loopback, so both ends of each connection are
//! of this machine: an ordinary client or server has half of them.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// First argument of an executable that is to make traffic.
pub(crate) const PLAY: &str = "play";
/// Clients of the request workloads, each with a connection and a server thread of its own: two a
/// CPU of a small machine, so that it never waits for a wake-up alone.
const CLIENTS: usize = 4;
/// Bytes of a request and of its response.
const MESSAGE: usize = 64;
/// Connections after which the storm goes to the next address of 127/8: the ports of one would be
/// used up by closed connections that linger for a minute.
const PER_ADDRESS: u64 = 20_000;
/// Nobody waits for longer, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kind of traffic.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    kind: &'static str,
    /// A second; 0 for as many as there can be.
    pub(crate) rate: u32,
}

pub(crate) const ALL: &[Workload] = &[
    Workload { name: "storm", unit: "connection", kind: "storm", rate: 0 },
    Workload { name: "storm-1000", unit: "connection", kind: "storm", rate: 1000 },
    Workload { name: "storm-5000", unit: "connection", kind: "storm", rate: 5000 },
    Workload { name: "tcp-kept", unit: "request", kind: "tcp", rate: 0 },
    Workload { name: "udp", unit: "request", kind: "udp", rate: 0 },
];

/// What the traffic came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Connections or requests.
    pub(crate) count: f64,
    pub(crate) seconds: f64,
    /// CPU seconds of both ends, what the kernel did for them included.
    pub(crate) cpu: f64,
    /// Microseconds that 99 of 100 took at most, from the client's view.
    pub(crate) p99_us: f64,
}

/// Traffic that is about to begin. It is killed if something fails.
pub(crate) struct Load {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Load {
    /// Starts the program; it makes no traffic yet.
    pub(crate) fn start(workload: &Workload, seconds: f64) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([PLAY, workload.kind, &workload.rate.to_string(), &seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let load = Self { child, lines };
        anyhow::ensure!(line == "ready\n", "the traffic said `{line}`");
        Ok(load)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go, until its end.
    pub(crate) fn run(&mut self) -> Result<Done> {
        // Stays open: the program ends when it is closed.
        let stdin = self.child.stdin.as_mut().context("no standard input")?;
        stdin.write_all(b"go\n")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let said: Value =
            serde_json::from_str(&line).with_context(|| format!("the traffic said `{line}`"))?;
        let number = |key: &str| said[key].as_f64().with_context(|| format!("no {key} in {line}"));
        let done = Done {
            count: number("count")?,
            seconds: number("seconds")?,
            cpu: number("cpu")?,
            p99_us: number("p99_us")?,
        };
        anyhow::ensure!(done.count > 0.0, "no traffic at all");
        Ok(done)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has no end of its own: its servers wait for more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the part that `args` say: kind, rate, seconds.
pub(crate) fn play(args: &[String]) -> Result<()> {
    let [kind, rate, seconds] = args else { bail!("play KIND RATE SECONDS") };
    let (rate, seconds): (u32, f64) = (rate.parse()?, seconds.parse()?);
    let clients = match kind.as_str() {
        "storm" => vec![storm()?],
        "tcp" => (0..CLIENTS).map(|_| kept_connection()).collect::<Result<_>>()?,
        "udp" => (0..CLIENTS).map(|_| datagrams()).collect::<Result<_>>()?,
        _ => bail!("no traffic is called {kind}"),
    };
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let until = begin + Duration::from_secs_f64(seconds);
    let clients: Vec<_> = clients
        .into_iter()
        .map(|client| thread::spawn(move || drive(client, rate, until)))
        .collect();
    let mut took = vec![];
    for client in clients {
        took.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    took.sort_unstable();
    let p99_us = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    println!("{}", json!({"count": took.len(), "seconds": seconds, "cpu": cpu, "p99_us": p99_us}));
    // Until it is killed: whoever looks at it does so in peace.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// One connection or request.
type Client = Box<dyn FnMut() -> std::io::Result<()> + Send>;

/// Repeats it until then; microseconds of each.
fn drive(mut client: Client, rate: u32, until: Instant) -> std::io::Result<Vec<u32>> {
    let begin = Instant::now();
    let mut took = vec![];
    loop {
        if rate > 0 {
            let due = begin + Duration::from_secs_f64(took.len() as f64 / f64::from(rate));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let now = Instant::now();
        if now >= until {
            return Ok(took);
        }
        client()?;
        took.push(u32::try_from(now.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Connect, a message there and back, the server closes, the client closes.
fn storm() -> Result<Client> {
    let server = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = server.local_addr()?.port();
    thread::spawn(move || {
        for stream in server.incoming() {
            // A connection that fails here fails at the other end, where it is noticed.
            let _ = stream.and_then(|mut stream| answer(&mut stream));
        }
    });
    let mut count = 0;
    Ok(Box::new(move || {
        let third = 1 + (count / PER_ADDRESS % 250) as u8;
        count += 1;
        let mut stream = TcpStream::connect((Ipv4Addr::new(127, 0, third, 1), port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[1; MESSAGE])?;
        let mut message = vec![];
        stream.read_to_end(&mut message).map(drop)
    }))
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut message = [0; MESSAGE];
    stream.read_exact(&mut message)?;
    stream.write_all(&message)
}

/// A message there and back on a connection that stays.
fn kept_connection() -> Result<Client> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(server.local_addr()?)?;
    let (mut far, _) = server.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    near.set_read_timeout(Some(PATIENCE))?;
    // Ends with the client.
    thread::spawn(move || while answer(&mut far).is_ok() {});
    Ok(Box::new(move || {
        let mut message = [1; MESSAGE];
        near.write_all(&message)?;
        near.read_exact(&mut message)
    }))
}

/// A datagram there and back between a connected socket and one that serves everybody.
fn datagrams() -> Result<Client> {
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to: SocketAddr = far.local_addr()?;
    near.connect(to)?;
    near.set_read_timeout(Some(PATIENCE))?;
    thread::spawn(move || {
        let mut message = [0; MESSAGE];
        while let Ok((length, from)) = far.recv_from(&mut message) {
            // One that is lost fails the client.
            let _ = far.send_to(&message[..length], from);
        }
    });
    Ok(Box::new(move || {
        let mut message = [1; MESSAGE];
        near.send(&message)?;
        near.recv(&mut message).map(drop)
    }))
}
