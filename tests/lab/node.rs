//! The traffic program, on a host or in a container: this same executable in the role of a node,
//! which serves and talks as it is told, and says which addresses its sockets had.
//!
//! A talk is one connection, or one exchange of datagrams, known by a number that the client sends
//! first: so that what both its ends say can be brought together, whatever is between them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::program::{PATIENCE, PLAY};

/// First argument of a node, after [`PLAY`].
pub(crate) const ROLE: &str = "node";

/// A process, as the machine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Name of the container it is in.
    pub(crate) container: Option<&'static str>,
}

/// What one end of a talk says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) process: Process,
    /// Its own address, as its socket had it.
    pub(crate) local: SocketAddr,
    /// The other end's, as its socket had it.
    pub(crate) peer: SocketAddr,
}

/// A node under way; it ends when this is dropped.
pub(crate) struct Node {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// Lines that nobody has asked for yet.
    unclaimed: Vec<String>,
    /// The node itself.
    pub(crate) process: Process,
}

impl Node {
    /// Starts `command`, which must run this executable as a node.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let process = Process { pid: child.id(), container: None };
        Ok(Self { child, stdin, lines, unclaimed: vec![], process })
    }

    /// Starts a node in a network namespace.
    pub(crate) fn in_namespace(namespace: &str) -> Result<Self> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}"));
        command.arg(std::env::current_exe()?).args([PLAY, ROLE]);
        Self::start(command)
    }

    /// Serves TCP at `at`.
    pub(crate) fn serve_tcp(&mut self, at: SocketAddr) -> Result<()> {
        self.tell(&format!("tcp-serve {at}"))?;
        self.line("serving ").map(drop)
    }

    /// Serves UDP at `at`.
    pub(crate) fn serve_udp(&mut self, at: SocketAddr) -> Result<()> {
        self.tell(&format!("udp-serve {at}"))?;
        self.line("serving ").map(drop)
    }

    /// Begins a talk over TCP.
    pub(crate) fn talk_tcp(&mut self, number: u64, to: SocketAddr) -> Result<()> {
        self.tell(&format!("tcp-talk {number} {to}"))
    }

    /// Begins a talk over UDP.
    pub(crate) fn talk_udp(&mut self, number: u64, to: SocketAddr) -> Result<()> {
        self.tell(&format!("udp-talk {number} {to}"))
    }

    /// What this node says of the talk `number` that it began, once it is over.
    pub(crate) fn talked(&mut self, number: u64) -> Result<End> {
        self.end(&format!("talked {number} "))
    }

    /// What this node says of the talk `number` that it served, once it is over.
    pub(crate) fn served(&mut self, number: u64) -> Result<End> {
        self.end(&format!("served {number} "))
    }

    fn end(&mut self, prefix: &str) -> Result<End> {
        let line = self.line(prefix)?;
        let (local, peer) = line.split_once(' ').context("two addresses")?;
        Ok(End { process: self.process, local: local.parse()?, peer: peer.parse()? })
    }

    fn tell(&mut self, command: &str) -> Result<()> {
        writeln!(self.stdin, "{command}").context("the node ended")
    }

    /// The rest of the line that begins with `prefix`.
    fn line(&mut self, prefix: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unclaimed.iter().position(|line| line.starts_with(prefix)) {
                return Ok(self.unclaimed.swap_remove(at)[prefix.len()..].to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).with_context(|| {
                format!("waited in vain for `{prefix}`; there was {:?}", self.unclaimed)
            })?;
            self.unclaimed.push(line);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A container's node goes on until its container is removed; this ends what leads there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays a node in this process, until standard input ends.
pub(crate) fn play() -> ExitCode {
    for command in std::io::stdin().lines().map_while(Result::ok) {
        std::thread::spawn(move || {
            if let Err(error) = perform(&command) {
                eprintln!("{command}: {error:#}");
            }
        });
    }
    ExitCode::SUCCESS
}

fn perform(command: &str) -> Result<()> {
    match command.split(' ').collect::<Vec<_>>()[..] {
        ["tcp-serve", at] => serve_tcp(&TcpListener::bind(at)?),
        ["udp-serve", at] => serve_udp(&UdpSocket::bind(at)?),
        ["tcp-talk", number, to] => talk_tcp(number.parse()?, to.parse()?),
        ["udp-talk", number, to] => talk_udp(number.parse()?, to.parse()?),
        _ => bail!("no such command"),
    }
}

fn serve_tcp(listener: &TcpListener) -> Result<()> {
    println!("serving {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::spawn(move || echo(stream));
    }
}

fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (local, peer) = (plain(stream.local_addr()?), plain(stream.peer_addr()?));
    let mut number = [0; 8];
    stream.read_exact(&mut number)?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            length => stream.write_all(&buffer[..length])?,
        }
    }
    drop(stream);
    println!("served {} {local} {peer}", u64::from_be_bytes(number));
    Ok(())
}

fn talk_tcp(number: u64, to: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // A connection that has ended has no addresses any more.
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    stream.write_all(&number.to_be_bytes())?;
    // Every talk moves another number of bytes, as real ones do.
    let message = vec![b'x'; 100 + usize::try_from(number)? * 10];
    let mut echo = vec![0; message.len()];
    for _ in 0..3 {
        stream.write_all(&message)?;
        stream.read_exact(&mut echo)?;
    }
    stream.shutdown(Shutdown::Write)?;
    ensure!(stream.read(&mut echo)? == 0, "more than was sent came back");
    drop(stream);
    println!("talked {number} {local} {peer}");
    Ok(())
}

/// Echoes datagrams; their first eight bytes are the talk's number.
fn serve_udp(socket: &UdpSocket) -> Result<()> {
    let local = socket.local_addr()?;
    println!("serving {local}");
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], peer)?;
        let number = buffer.first_chunk().filter(|_| length == 8);
        // The last one has nothing but the number.
        if let Some(&number) = number {
            println!("served {} {local} {}", u64::from_be_bytes(number), plain(peer));
        }
    }
}

fn talk_udp(number: u64, to: SocketAddr) -> Result<()> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    let mut message = number.to_be_bytes().to_vec();
    message.resize(100 + usize::try_from(number)? * 10, b'x');
    let mut echo = [0; 2048];
    for part in [&message[..], &message, &message[..8]] {
        socket.send(part)?;
        let length = socket.recv(&mut echo)?;
        ensure!(&echo[..length] == part, "another datagram came back");
    }
    println!("talked {number} {} {}", socket.local_addr()?, socket.peer_addr()?);
    Ok(())
}

/// An IPv4 address in IPv6's form is what it is on the wire.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
