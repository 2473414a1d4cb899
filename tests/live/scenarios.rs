//! What a user relies on, one scenario each: every packet of the traffic names the processes that
//! really sent and received it, or says why not.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::join::{Joined, join, record};
use crate::live::Scenario;
use crate::program::Program;
use crate::wire::{Packet, packets, tshark};

/// Every scenario, by the name that the test runner shows.
pub(crate) const ALL: &[Scenario] = &[
    ("tcp_v4_names_both_ends_from_the_syn_on", || tcp("127.0.0.1:0")),
    ("tcp_v6_names_both_ends_from_the_syn_on", || tcp("[::1]:0")),
    ("a_dual_stack_server_is_named_for_v4_clients", dual_stack),
    ("a_worker_behind_a_listener_is_named_not_its_master", worker),
    ("a_refused_connection_names_who_tried", refused),
    ("udp_v4_names_both_ends", || udp("127.0.0.1:0", "udp-client")),
    ("udp_v6_names_both_ends", || udp("[::1]:0", "udp-client")),
    ("connected_udp_of_a_short_life_names_both_ends", || udp("127.0.0.1:0", "udp-connected")),
    ("a_wildcard_udp_server_is_named", || udp("0.0.0.0:0", "udp-client")),
    ("filters_work_in_one_pass_and_two", filters),
];

/// Packets between these two ports, in either direction.
fn between(all: &[Packet], a: u16, b: u16) -> Vec<Packet> {
    let ports = |p: &&Packet| [(a, b), (b, a)].contains(&(p.src_port, p.dst_port));
    all.iter().filter(ports).cloned().collect()
}

/// Every packet names the client at the client's end and the server at the server's.
fn check_ends(flow: &[Packet], client: (u16, u32), server: (u16, u32)) -> Result<()> {
    let pid_of = |port: u16| if port == client.0 { client.1 } else { server.1 };
    for packet in flow {
        let told = (packet.src_pid, packet.dst_pid);
        let truth = (Some(pid_of(packet.src_port)), Some(pid_of(packet.dst_port)));
        ensure!(told == truth, "told {told:?}, true is {truth:?}: {packet:?}");
    }
    Ok(())
}

/// One TCP connection from start to end; the recording must be running.
fn converse(server: &str, client_addr: impl Fn(SocketAddr) -> SocketAddr) -> Result<Talk> {
    let mut server = Program::start(&["tcp-server", server])?;
    let addr: SocketAddr = server.value("listening")?;
    let mut client = Program::start(&["tcp-client", &client_addr(addr).to_string()])?;
    let local: SocketAddr = client.value("local")?;
    let talk = Talk { client: (local.port(), client.pid()), server: (addr.port(), server.pid()) };
    client.finish()?;
    server.finish()?;
    Ok(talk)
}

/// Port and pid of either end.
struct Talk {
    client: (u16, u32),
    server: (u16, u32),
}

impl Talk {
    /// The packets of this connection, which must all name both ends.
    fn check(&self, joined: &Joined) -> Result<Vec<Packet>> {
        let flow = between(&packets(joined)?, self.client.0, self.server.0);
        // Handshake, three messages each way, and the end: twelve at the very least.
        ensure!(flow.len() >= 12, "only {} packets of the connection", flow.len());
        ensure!(flow[0].is_syn, "the SYN was not captured: {:?}", flow[0]);
        check_ends(&flow, self.client, self.server)?;
        Ok(flow)
    }
}

fn tcp(server: &str) -> Result<()> {
    let recording = record("tcp")?;
    let talk = converse(server, |addr| addr)?;
    let joined = join(recording)?;
    let flow = talk.check(&joined)?;
    ensure!(flow[0].src_match == "exact", "the SYN's sender was known before it left: {flow:?}");
    ensure!(flow[0].event == "tcp_connect", "{:?}", flow[0]);
    ensure!(flow[0].comment.starts_with("ebpf src.pid="), "no comment: {:?}", flow[0]);
    Ok(())
}

fn dual_stack() -> Result<()> {
    let recording = record("tcp")?;
    let talk = converse("[::]:0", |addr| ([127, 0, 0, 1], addr.port()).into())?;
    talk.check(&join(recording)?)?;
    Ok(())
}

fn worker() -> Result<()> {
    let recording = record("tcp")?;
    let mut master = Program::start(&["tcp-master", "127.0.0.1:0"])?;
    let addr: SocketAddr = master.value("listening")?;
    let worker: u32 = master.value("worker")?;
    ensure!(worker != master.pid(), "the worker is a process of its own");
    let mut client = Program::start(&["tcp-client", &addr.to_string()])?;
    let local: SocketAddr = client.value("local")?;
    let talk = Talk { client: (local.port(), client.pid()), server: (addr.port(), worker) };
    client.finish()?;
    master.finish()?;
    talk.check(&join(recording)?)?;
    Ok(())
}

fn refused() -> Result<()> {
    let recording = record("tcp")?;
    // A port that was free a moment ago, and that nobody listens on now.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut client = Program::start(&["tcp-refused", "127.0.0.1:0", &free.to_string()])?;
    let local: SocketAddr = client.value("local")?;
    let pid = client.pid();
    client.finish()?;
    let joined = join(recording)?;
    let flow = between(&packets(&joined)?, local.port(), free.port());
    let [syn, reset] = &flow[..] else { anyhow::bail!("not a SYN and a RST: {flow:?}") };
    ensure!((syn.src_pid, syn.dst_pid) == (Some(pid), None), "{syn:?}");
    ensure!(syn.dst_none == "no-socket", "nobody listened there: {syn:?}");
    ensure!((reset.src_pid, reset.dst_pid) == (None, Some(pid)), "{reset:?}");
    let events = tshark(
        &joined,
        &["-Y", "ebpf.none == \"no-socket\"", "-T", "fields", "-e", "frame.number"],
    )?;
    ensure!(events.lines().count() == 2, "either-side reasons: {events}");
    Ok(())
}

fn udp(server: &str, role: &str) -> Result<()> {
    let recording = record("udp")?;
    let mut server = Program::start(&["udp-server", server])?;
    let mut addr: SocketAddr = server.value("listening")?;
    if addr.ip().is_unspecified() {
        addr.set_ip([127, 0, 0, 1].into());
    }
    let mut client = Program::start(&[role, &addr.to_string()])?;
    let port: u16 = client.value("port")?;
    let ends = ((port, client.pid()), (addr.port(), server.pid()));
    client.finish()?;
    server.finish()?;
    let joined = join(recording)?;
    let flow = between(&packets(&joined)?, port, addr.port());
    ensure!(flow.len() == 6, "three datagrams each way: {flow:?}");
    check_ends(&flow, ends.0, ends.1)
}

fn filters() -> Result<()> {
    let recording = record("tcp")?;
    let talk = converse("127.0.0.1:0", |addr| addr)?;
    let joined = join(recording)?;
    let flow = talk.check(&joined)?;
    let sent = flow.iter().filter(|packet| packet.src_port == talk.client.0).count();
    let comm = &flow[0].src_comm;
    ensure!(comm.starts_with("live"), "the traffic program is this one: {comm}");
    let by_pid = format!("ebpf.src.pid == {}", talk.client.1);
    let either = format!("ebpf.pid == {}", talk.client.1);
    let both = format!("ebpf.src.comm == \"{comm}\" && ebpf.dst.comm == \"{comm}\"");
    for passes in [&["-n"][..], &["-n", "-2"]] {
        for (filter, want) in [(&by_pid, sent), (&either, flow.len()), (&both, flow.len())] {
            let args = [passes, &["-Y", filter, "-T", "fields", "-e", "frame.number"]].concat();
            let frames = tshark(&joined, &args)?;
            let found = frames.lines().count();
            ensure!(found == want, "{filter} with {passes:?}: {found} packets, not {want}");
        }
    }
    let named = joined.summary.pointer("/source/named").and_then(serde_json::Value::as_u64);
    let named = named.context("no /source/named in the summary")?;
    ensure!(named >= flow.len() as u64, "the summary counts {named} named sources");
    Ok(())
}
