//! The role of a program that forwards connections as docker-proxy does: every one that it takes
//! leads to one that it makes, and the data moves between them by splice(2).

use std::{
    io::{PipeReader, PipeWriter, Read as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex},
    thread,
};

use anyhow::Result;
use rustix::{
    net::sockopt::socket_cookie,
    pipe::{SpliceFlags, splice},
};

use super::program::PATIENCE;

/// Bytes of one call at most.
const CHUNK: usize = 1 << 16;

/// Pipes that were used and are empty, as Go keeps them.
type Pipes = Mutex<Vec<(PipeReader, PipeWriter)>>;

/// Takes `burst` connections at a time, and only then makes theirs, each on a thread of its own,
/// from the last to the first. Says of every one which two sockets, by cookie, belong together.
/// Of every other pair it keeps duplicates, so that those sockets stay open when their descriptors
/// are long others'. Ends with its standard input.
pub(crate) fn forward(back: &str, burst: usize) -> Result<()> {
    let back: SocketAddr = back.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?);
    let pipes = Arc::new(Pipes::default());
    let kept = Arc::new(Mutex::new(vec![]));
    thread::spawn(move || -> Result<()> {
        loop {
            let mut taken = vec![];
            for _ in 0..burst {
                taken.push(listener.accept()?.0);
            }
            for (number, front) in taken.into_iter().enumerate().rev() {
                let (pipes, kept) = (Arc::clone(&pipes), Arc::clone(&kept));
                thread::spawn(move || -> Result<()> {
                    let back = TcpStream::connect(back)?;
                    if number % 2 == 1 {
                        let both = [front.try_clone()?, back.try_clone()?];
                        kept.lock().expect("no panic").push(both);
                    }
                    connect(&front, &back, &pipes)
                });
            }
        }
    });
    std::io::stdin().read_to_end(&mut vec![])?;
    Ok(())
}

fn connect(front: &TcpStream, back: &TcpStream, pipes: &Pipes) -> Result<()> {
    for socket in [front, back] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    println!("pair {} {}", socket_cookie(front)?, socket_cookie(back)?);
    thread::scope(|scope| {
        let other_way = scope.spawn(|| pump(back, front, pipes));
        pump(front, back, pipes)?;
        other_way.join().unwrap_or(Ok(()))
    })
}

/// Moves everything that comes from `source` on.
fn pump(source: &TcpStream, sink: &TcpStream, pipes: &Pipes) -> Result<()> {
    let kept = pipes.lock().expect("no panic").pop();
    let (reader, writer) = kept.map_or_else(std::io::pipe, Ok)?;
    loop {
        let mut moved = move_some(source, &writer, CHUNK)?;
        if moved == 0 {
            break;
        }
        while moved > 0 {
            moved -= move_some(&reader, sink, moved)?;
        }
    }
    pipes.lock().expect("no panic").push((reader, writer));
    sink.shutdown(Shutdown::Write)?;
    Ok(())
}

fn move_some(from: impl AsFd, to: impl AsFd, most: usize) -> Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::empty())?)
}
