//! Through a router that translates: what is captured on one side of it is named to the programs on
//! both sides, of whom each knows only its own.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::join::{join, program};
use crate::live::Scenario;
use crate::program::Program;
use crate::recording::Recording;
use crate::router::{CLIENT, PUBLISHED, Router, SERVER};
use crate::wire::{Packet, packets};

/// Every scenario, by the name that the test runner shows.
pub(crate) const ALL: &[Scenario] = &[
    ("a_published_port_is_named_to_the_server_behind_it", || published("c0")),
    ("a_published_port_is_named_on_the_servers_side_too", || published("s0")),
    ("a_masqueraded_client_is_named_outside", masqueraded),
];

/// A server and a client, and how the capture sees them.
struct Talk {
    server: Program,
    client: Program,
    local: SocketAddr,
}

impl Talk {
    fn start(server: (&str, &str), client: (&str, &str)) -> Result<Self> {
        let mut server = Program::start_in(server.0, &["tcp-server", server.1])?;
        server.value::<SocketAddr>("listening")?;
        let mut client = Program::start_in(client.0, &["tcp-client", client.1])?;
        let local = client.value("local")?;
        Ok(Self { server, client, local })
    }

    /// Lets both go, and returns their pids: client, server.
    fn finish(self) -> Result<(u32, u32)> {
        let pids = (self.client.pid(), self.server.pid());
        self.client.finish()?;
        self.server.finish()?;
        Ok(pids)
    }
}

fn record(router: &Router, interface: &str) -> Result<Recording> {
    let target = format!("netns:{}/{interface}", router.router);
    let args = ["--events", "ev.parquet", "--packets", "trace.pcapng", "-i", &target, "-f", "tcp"];
    Recording::start(&program("ebpfrec"), &args)
}

/// Every packet names the client at its end, and the server at the other; `server_port` is what the
/// capture sees of it.
fn check(flow: &[Packet], server_port: u16, (client, server): (u32, u32)) -> Result<()> {
    // Handshake, three messages each way, and the end: twelve at the very least.
    ensure!(flow.len() >= 12, "only {} packets of the connection", flow.len());
    for packet in flow {
        let told = (packet.src_pid, packet.dst_pid);
        let forth = packet.dst_port == server_port;
        let truth = if forth { (client, server) } else { (server, client) };
        ensure!(told == (Some(truth.0), Some(truth.1)), "true is {truth:?}: {packet:?}");
    }
    Ok(())
}

fn published(interface: &str) -> Result<()> {
    let router = Router::new()?;
    let recording = record(&router, interface)?;
    let talk = Talk::start((&router.server, SERVER), (&router.client, PUBLISHED))?;
    let port = talk.local.port();
    let pids = talk.finish()?;
    let joined = join(recording)?;
    let flow = packets(&joined)?;
    // What the server's side sees is the server's own; what the client's side sees the client's.
    let outside = interface == "c0";
    let seen: SocketAddr = (if outside { PUBLISHED } else { SERVER }).parse()?;
    ensure!(flow.iter().all(|packet| [packet.src_port, packet.dst_port].contains(&port)));
    check(&flow, seen.port(), pids)?;
    for packet in flow.iter().filter(|packet| packet.dst_port == seen.port()) {
        let (translated, plain) = if outside {
            (&packet.dst_match, &packet.src_match)
        } else {
            (&packet.src_match, &packet.dst_match)
        };
        ensure!(translated.starts_with("nat+") && !plain.starts_with("nat+"), "{packet:?}");
    }
    Ok(())
}

/// Nobody outside knows the client's own address.
fn masqueraded() -> Result<()> {
    let router = Router::new()?;
    let recording = record(&router, "c0")?;
    let far = format!("{CLIENT}:9000");
    let pids = Talk::start((&router.client, &far), (&router.server, &far))?.finish()?;
    let joined = join(recording)?;
    let flow = packets(&joined)?;
    check(&flow, 9000, pids)?;
    let forth = flow.iter().filter(|packet| packet.dst_port == 9000);
    for packet in forth {
        ensure!(packet.src_match.starts_with("nat+"), "{packet:?}");
    }
    Ok(())
}
