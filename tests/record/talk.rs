//! Programs that talk through a router: each says which ends it sees, and keeps its end open until
//! it is let go.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use anyhow::{Result, bail, ensure};
use rustix::net::{AddressFamily, SocketType, connect, ipproto, socket};

use super::program::PATIENCE;

/// Plays a role.
pub(crate) fn play(args: &[&str]) -> Result<()> {
    match *args {
        ["tcp-server", addr] => {
            let listener = TcpListener::bind(addr)?;
            println!("listening {}", listener.local_addr()?);
            let (mut stream, peer) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_exact(&mut [0])?;
            println!("peer {peer}");
            wait_to_be_let_go()
        }
        ["tcp-client", addr] => {
            let mut stream = TcpStream::connect(addr)?;
            stream.write_all(b"x")?;
            println!("local {}", stream.local_addr()?);
            wait_to_be_let_go()
        }
        ["udp-server", addr] => {
            let socket = UdpSocket::bind(addr)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            println!("listening {}", socket.local_addr()?);
            let (_, peer) = socket.recv_from(&mut [0; 16])?;
            socket.send_to(b"answer", peer)?;
            println!("peer {peer}");
            wait_to_be_let_go()
        }
        ["udp-client", addr] => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(addr)?;
            socket.send(b"question")?;
            println!("local {}", socket.local_addr()?);
            socket.recv(&mut [0; 16])?;
            wait_to_be_let_go()
        }
        ["ping", addr] => ping(addr.parse()?),
        // A datagram to each of these ports, answered or not.
        ["scatter", addr, first, last] => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            println!("local {}", socket.local_addr()?);
            for port in first.parse::<u16>()?..=last.parse()? {
                socket.send_to(b"x", (addr, port))?;
            }
            println!("done 1");
            Ok(())
        }
        _ => bail!("no such role"),
    }
}

fn wait_to_be_let_go() -> Result<()> {
    std::io::stdin().read_to_end(&mut vec![])?;
    Ok(())
}

/// One echo, whose id the kernel chooses (icmp(7)).
fn ping(addr: Ipv4Addr) -> Result<()> {
    const ECHO: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 1];
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP))?;
    connect(&socket, &SocketAddr::from((addr, 0)))?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&ECHO)?;
    let mut answer = [0; 64];
    ensure!(socket.recv(&mut answer)? == ECHO.len() && answer[0] == 0, "no echo: {answer:?}");
    println!("id {}", socket.local_addr()?.port());
    Ok(())
}
