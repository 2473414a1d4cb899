//! What the programs of these tests do. Every role does a bounded amount of work, says what it
//! knows, and waits for its standard input to be closed, so that it is there to be looked at.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use recorder::{
    parquet::{EventFile, FirstPart},
    rotate::{Rotation, Series},
};
use schema::{Event, batch::BatchBuilder, meta::FileMeta};

use super::{
    forwarder, hand_over,
    program::{PATIENCE, PLAY},
    talk,
};

/// Plays a role in this process.
pub(crate) fn play(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match perform(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{args:?}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &[&str]) -> Result<()> {
    match *args {
        // Does the rest in a cgroup.
        ["in-cgroup", folder, ref rest @ ..] => {
            std::fs::write(format!("{folder}/cgroup.procs"), "0")?;
            return perform(rest);
        }
        // Does the rest in a network namespace of its own.
        ["in-netns", ref rest @ ..] => {
            let own = std::env::current_exe()?;
            let error = Command::new("unshare").arg("--net").arg(own).arg(PLAY).args(rest).exec();
            return Err(error.into());
        }
        // Does the rest as a program of another name.
        ["under-name", link, ref rest @ ..] => {
            return Err(Command::new(link).arg(PLAY).args(rest).exec().into());
        }
        // Answers one connection with as many bytes as it got, after its end.
        ["tcp-server", addr] => {
            say_start()?;
            let listener = TcpListener::bind(addr)?;
            println!("listening {}", listener.local_addr()?);
            answer(&listener)?;
        }
        ["tcp-master", worker, addr] => {
            let listener = TcpListener::bind(addr)?;
            println!("listening {}", listener.local_addr()?);
            let mut worker = Command::new(std::env::current_exe()?)
                .args([PLAY, worker])
                // The worker's standard input is the listener.
                .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
                .spawn()?;
            println!("worker {}", worker.id());
            wait_to_be_let_go()?;
            worker.kill()?;
            worker.wait()?;
            return Ok(());
        }
        ["tcp-worker"] => {
            let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
            answer(&TcpListener::from(listener))?;
            // Until the master ends it.
            std::thread::sleep(PATIENCE);
            return Ok(());
        }
        // Reads a byte from one connection and keeps it open.
        ["tcp-reader"] => {
            let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
            let (mut stream, _) = TcpListener::from(listener).accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_exact(&mut [0])?;
            println!("read 1");
            // Until the master ends it.
            std::thread::sleep(PATIENCE);
            return Ok(());
        }
        ["tcp-client", addr, bytes] => {
            say_start()?;
            let mut stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            println!("local {}", stream.local_addr()?);
            stream.write_all(&vec![b'x'; bytes.parse()?])?;
            stream.shutdown(Shutdown::Write)?;
            let mut back = vec![];
            stream.read_to_end(&mut back)?;
            println!("received {}", back.len());
        }
        ["tcp-refused", addr] => {
            let error = TcpStream::connect(addr).err().context("it was not refused")?;
            println!("error {}", error.raw_os_error().unwrap_or(0));
        }
        // Keeps a connection to itself open.
        ["tcp-holder", addr] => {
            let listener = TcpListener::bind(addr)?;
            println!("listening {}", listener.local_addr()?);
            let stream = TcpStream::connect(listener.local_addr()?)?;
            println!("local {}", stream.local_addr()?);
            let accepted = listener.accept()?;
            wait_to_be_let_go()?;
            drop((stream, accepted));
            return Ok(());
        }
        // Keeps a connected socket that was never bound.
        ["udp-holder", remote] => {
            let socket = connected_unbound(remote.parse()?)?;
            println!("local {}", socket.local_addr()?);
            wait_to_be_let_go()?;
            drop(socket);
            return Ok(());
        }
        // Reads and answers so many datagrams.
        ["udp-server", addr, datagrams] => {
            let socket = UdpSocket::bind(addr)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            println!("listening {}", socket.local_addr()?);
            let mut buffer = [0; 64];
            for _ in 0..datagrams.parse::<u32>()? {
                let (length, peer) = socket.recv_from(&mut buffer)?;
                socket.send_to(&buffer[..length], peer)?;
            }
            println!("done 1");
        }
        // Sends so many datagrams, each after the answer to the one before.
        ["udp-client", local, remote, datagrams] => {
            let socket = UdpSocket::bind(local)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            println!("local {}", socket.local_addr()?);
            for _ in 0..datagrams.parse::<u32>()? {
                socket.send_to(b"question", remote)?;
                socket.recv_from(&mut [0; 64])?;
            }
            println!("done 1");
        }
        // As a resolver does: a socket per question, connected, never bound, closed at once.
        ["udp-resolver", remote, questions, pause_ms] => {
            for _ in 0..questions.parse::<u32>()? {
                let socket = connected_unbound(remote.parse()?)?;
                socket.send(b"question")?;
                println!("local {}", socket.local_addr()?);
                std::thread::sleep(Duration::from_millis(pause_ms.parse()?));
            }
        }
        // Connects in a thread with a name of its own.
        ["tcp-thread", addr] => {
            let addr: SocketAddr = addr.parse()?;
            let thread = std::thread::Builder::new().name("a thread".to_owned());
            let connect = move || TcpStream::connect(addr).map(|_| rustix::thread::gettid());
            let tid = thread.spawn(connect)?.join().ok().context("it panicked")??;
            println!("tid {}", tid.as_raw_nonzero());
        }
        // Connects to itself again and again until it is let go, and then says of every connection
        // when it was made, between which two moments of CLOCK_BOOTTIME, and from which port.
        ["tcp-storm"] => return storm(),
        // Connects, says who it is, and is gone.
        ["tcp-hasty", addr, number] => {
            let stream = TcpStream::connect(addr)?;
            println!("{number} {} {}", std::process::id(), stream.local_addr()?);
            return Ok(());
        }
        ["tcp-hasty-refused", addr] => {
            TcpStream::connect(addr).err().context("it was not refused")?;
            println!("refused {} {addr}", std::process::id());
            return Ok(());
        }
        // Connects, and becomes another program.
        ["tcp-chain", addr] => {
            let stream = TcpStream::connect(addr)?;
            println!("first {} {}", std::process::id(), stream.local_addr()?);
            let mut next = Command::new(std::env::current_exe()?);
            return Err(next.args([PLAY, "tcp-hasty", addr, "last"]).exec().into());
        }
        ["tcp-giver", addr] => println!("taken {}", hand_over::give(addr)?),
        ["tcp-taker"] => return hand_over::take(),
        ["tcp-parent", addr] => println!("child {}", hand_over::leave_to_child(addr)?),
        ["tcp-heir"] => return hand_over::inherit(),
        ["tcp-turns", addr, turns] => {
            hand_over::take_turns(addr, turns.parse()?)?;
            println!("turns {turns}");
        }
        ["tcp-forwarder", back, burst] => return forwarder::forward(back, burst.parse()?),
        ["talk", ref rest @ ..] => return talk::play(rest),
        ["tcp-turn-taker"] => return hand_over::take_turns_as_child(),
        // Writes rows as fast as the disk takes them, and says which it has handed over.
        ["event-file", path, part_bytes] => return write_rows(path.as_ref(), part_bytes.parse()?),
        _ => bail!("no such role"),
    }
    wait_to_be_let_go()
}

fn wait_to_be_let_go() -> Result<()> {
    std::io::stdin().read_to_end(&mut vec![])?;
    Ok(())
}

fn answer(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes)?;
    stream.write_all(&bytes)?;
    Ok(())
}

/// A socket that is connected without being bound first, which the standard library does not offer.
fn connected_unbound(remote: SocketAddr) -> Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketType, connect, socket};
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::DGRAM, None)?;
    connect(&socket, &remote)?;
    Ok(UdpSocket::from(socket))
}

/// Says when this process was started, in clock ticks since boot, by its own `/proc/self/stat`.
fn say_start() -> Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    println!("start {}", fields.split_whitespace().nth(19).context("no start time")?);
    Ok(())
}

/// Connections of a storm at most: some twenty seconds of it.
const MAX_STORM: usize = 100_000;

fn storm() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    println!("listening {addr}");
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    let let_go = std::thread::spawn(wait_to_be_let_go);
    let mut log = vec![];
    while !let_go.is_finished() && log.len() < MAX_STORM {
        let before = recorder::clock::boot_ns();
        let stream = TcpStream::connect(addr)?;
        log.push((before, recorder::clock::boot_ns(), stream.local_addr()?.port()));
        if log.len().is_multiple_of(8) {
            // Some thousand connections a second, however fast the machine.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    for (before, after, port) in log {
        println!("connection {before} {after} {port}");
    }
    Ok(())
}

/// Rows of a batch of `event-file`.
pub(crate) const BATCH_ROWS: u64 = 500;

fn write_rows(path: &Path, part_bytes: u64) -> Result<()> {
    let rotation = Rotation { size: (part_bytes > 0).then_some(part_bytes), ..Rotation::default() };
    let first = FirstPart::create(Series::new(path, rotation)?)?;
    let meta = FileMeta { host: "h".to_owned(), recording: "r".to_owned(), ..FileMeta::default() };
    let mut file = EventFile::start(first, meta, None, Arc::default())?;
    let mut builder = BatchBuilder::default();
    for batch in 0..100_000 {
        for seq in batch * BATCH_ROWS..(batch + 1) * BATCH_ROWS {
            let (comm, now) = (format!("worker-{}", seq % 97), recorder::clock::boot_ns());
            builder.append(&Event {
                ts: now.cast_signed(),
                boot_ns: now,
                seq,
                kind: "tcp_connect",
                comm: Some(&comm),
                local_port: u16::try_from(seq % 50_000).ok(),
                socket_cookie: Some(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                ..Event::default()
            });
        }
        file.send_last(builder.finish());
        println!("sent {}", (batch + 1) * BATCH_ROWS);
        file.cut_if_due(recorder::clock::Sample::now());
    }
    Ok(())
}
