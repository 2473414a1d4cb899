//! Programs that talk: small servers and clients that say on standard output who they are and
//! which addresses their sockets have. Every role does a bounded amount of work and ends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::program::{PATIENCE, PLAY};

/// What a client sends and a server echoes, three times.
const MESSAGE: &[u8] = &[b'x'; 1000];
const MESSAGES: usize = 3;

/// Plays a role in this process.
pub(crate) fn play(args: &[String]) -> ExitCode {
    match perform(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{args:?}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["tcp-server", addr] => serve_tcp(&announce(addr)?),
        ["tcp-master", addr] => master(&announce(addr)?),
        ["tcp-worker"] => {
            // The listener was inherited as standard input.
            serve_tcp(&TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?))
        }
        ["tcp-client", addr] => talk_tcp(addr.parse()?),
        ["tcp-refused", local, addr] => be_refused(local.parse()?, addr.parse()?),
        ["udp-server", addr] => serve_udp(addr),
        ["udp-client", addr] => talk_udp(addr.parse()?, false),
        ["udp-connected", addr] => talk_udp(addr.parse()?, true),
        _ => bail!("no such role"),
    }
}

fn announce(addr: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}

/// Accepts one connection and echoes it to its end.
fn serve_tcp(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

/// Hands its listener to a worker process, which accepts; keeps it open itself, as masters do.
fn master(listener: &TcpListener) -> Result<()> {
    let inherited = OwnedFd::from(listener.try_clone()?);
    let mut worker = Command::new(std::env::current_exe()?)
        .args([PLAY, "tcp-worker"])
        .stdin(Stdio::from(inherited))
        .spawn()?;
    println!("worker {}", worker.id());
    ensure!(worker.wait()?.success(), "the worker failed");
    Ok(())
}

fn talk_tcp(addr: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    println!("local {}", stream.local_addr()?);
    let mut echo = vec![0; MESSAGE.len()];
    for _ in 0..MESSAGES {
        stream.write_all(MESSAGE)?;
        stream.read_exact(&mut echo)?;
    }
    stream.shutdown(Shutdown::Write)?;
    ensure!(stream.read(&mut echo)? == 0, "more than was sent came back");
    Ok(())
}

fn be_refused(local: SocketAddr, addr: SocketAddr) -> Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&local.into())?;
    let bound = socket.local_addr()?.as_socket().context("no address")?;
    println!("local {bound}");
    let error = socket.connect(&addr.into()).err().context("it was not refused")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionRefused, "{error}");
    Ok(())
}

/// Echoes datagrams until one of a single byte.
fn serve_udp(addr: &str) -> Result<()> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    println!("listening {}", socket.local_addr()?);
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], peer)?;
        if length == 1 {
            return Ok(());
        }
    }
}

/// Never binds: the kernel picks the port, as it does for every resolver.
fn talk_udp(addr: SocketAddr, connected: bool) -> Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    if connected {
        socket.connect(addr)?;
    }
    let mut echo = [0; 2048];
    for message in [MESSAGE, MESSAGE, &MESSAGE[..1]] {
        let length = if connected {
            socket.send(message)?;
            socket.recv(&mut echo)?
        } else {
            socket.send_to(message, addr)?;
            socket.recv_from(&mut echo)?.0
        };
        ensure!(length == message.len(), "{length} bytes came back");
    }
    println!("port {}", socket.local_addr()?.port());
    Ok(())
}
