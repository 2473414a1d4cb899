//! Roles that hand a socket to another process.

use std::{
    io::{IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::program::{PATIENCE, PLAY};

/// Room for the message that carries one descriptor.
const ONE_DESCRIPTOR: usize = rustix::cmsg_space!(ScmRights(1));

fn start(role: &str, stdin: OwnedFd, stdout: Stdio) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.args([PLAY, role]).stdin(Stdio::from(stdin)).stdout(stdout).spawn()?)
}

fn read_one(stream: &mut TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream.read_exact(&mut [0])?)
}

/// The descriptor this process was given as its standard input.
fn given() -> Result<OwnedFd> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?)
}

/// Accepts a connection, reads a byte, and passes it on in a message. Returns the taker's pid once
/// that one has read a byte.
pub(crate) fn give(addr: &str) -> Result<u32> {
    let listener = TcpListener::bind(addr)?;
    println!("listening {}", listener.local_addr()?);
    let (ours, theirs) = UnixStream::pair()?;
    let mut taker = start("tcp-taker", theirs.into(), Stdio::piped())?;
    let (mut stream, _) = listener.accept()?;
    read_one(&mut stream)?;
    println!("read 1");
    let sockets = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut control = SendAncillaryBuffer::new(&mut space);
    anyhow::ensure!(control.push(SendAncillaryMessage::ScmRights(&sockets)), "no room");
    sendmsg(&ours, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    drop(stream);
    let pid = taker.id();
    taker.wait()?;
    Ok(pid)
}

/// Takes a connection out of a message and reads a byte.
pub(crate) fn take() -> Result<()> {
    let from = UnixStream::from(given()?);
    let mut space = [MaybeUninit::uninit(); ONE_DESCRIPTOR];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty())?;
    let message = control.drain().next().context("no message")?;
    let RecvAncillaryMessage::ScmRights(mut sockets) = message else {
        anyhow::bail!("no descriptor")
    };
    read_one(&mut TcpStream::from(sockets.next().context("no descriptor")?))
}

/// Connects and leaves the reading to a child. Returns the child's pid once that has read a byte.
pub(crate) fn leave_to_child(addr: &str) -> Result<u32> {
    let stream = TcpStream::connect(addr)?;
    let mut child = start("tcp-heir", stream.into(), Stdio::piped())?;
    child.wait()?;
    Ok(child.id())
}

/// Reads a byte from the connection this process was started with.
pub(crate) fn inherit() -> Result<()> {
    read_one(&mut TcpStream::from(given()?))
}

/// Connects, and reads a byte in turn with a child, so many times.
pub(crate) fn take_turns(addr: &str, turns: usize) -> Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    let (mut ours, theirs) = UnixStream::pair()?;
    let theirs = Stdio::from(OwnedFd::from(theirs));
    let mut child = start("tcp-turn-taker", stream.try_clone()?.into(), theirs)?;
    for _ in 0..turns {
        ours.write_all(b"x")?;
        ours.read_exact(&mut [0])?;
        read_one(&mut stream)?;
    }
    drop(ours);
    child.wait()?;
    Ok(())
}

/// The child: its standard output is a socket that tells whose turn it is.
pub(crate) fn take_turns_as_child() -> Result<()> {
    let mut stream = TcpStream::from(given()?);
    let mut turn = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    while turn.read(&mut [0])? == 1 {
        read_one(&mut stream)?;
        turn.write_all(b"x")?;
    }
    Ok(())
}
