//! Translations without any engine: two routers in a row that each change both addresses, as they do
//! in front of clusters. Neither end knows the other's address.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    host::ebpfrec,
    lab::{Lab, ip},
    live::Scenario,
    node::{End, Node},
    packets,
    recording::Recording,
    talk::Talk,
};

pub(crate) const ALL: &[Scenario] = &[("two_routers_that_change_both_addresses", two_routers)];

/// What each router answers for, and where it leads.
const ROUTES: [(Ipv4Addr, u16, Ipv4Addr, u16); 2] = [
    (Ipv4Addr::new(10, 97, 0, 1), 4443, Ipv4Addr::new(10, 97, 1, 2), 4444),
    (Ipv4Addr::new(10, 97, 1, 2), 4444, Ipv4Addr::new(10, 97, 2, 2), 8080),
];

/// Enough for the same ports to meet the same translations again.
const TALKS: u64 = 10;

fn two_routers() -> Result<()> {
    let mut lab = Lab::new();
    let names = ["client", "first", "second", "server"];
    let names = names.map(|name| lab.namespace(name));
    let [client, first, second, server] = names;
    let all = [client?, first?, second?, server?];
    for (net, pair) in all.windows(2).enumerate() {
        let [left, right] = pair else { unreachable!("two at a time") };
        ip(&[
            "-n", left, "link", "add", "right", "type", "veth", "peer", "name", "left", "netns",
            right,
        ])?;
        // The client's own network has the router's address as .1; the others count upwards.
        let ends = if net == 0 { [2, 1] } else { [1, 2] };
        for ((namespace, link), last) in [(left, "right"), (right, "left")].iter().zip(ends) {
            ip(&["-n", namespace, "addr", "add", &format!("10.97.{net}.{last}/24"), "dev", link])?;
            ip(&["-n", namespace, "link", "set", link, "up"])?;
        }
    }
    for (router, (at, port, to, to_port)) in all[1..3].iter().zip(ROUTES) {
        let rules = format!(
            "table ip lab {{\n\
             chain in {{ type nat hook prerouting priority -100;\n\
             ip daddr {at} tcp dport {port} dnat to {to}:{to_port};\n\
             ip daddr {at} udp dport {port} dnat to {to}:{to_port}; }}\n\
             chain out {{ type nat hook postrouting priority 100;\n\
             oifname \"right\" masquerade; }}\n}}\n"
        );
        nft(router, &rules)?;
    }
    let (mut client, mut server) = (Node::in_namespace(&all[0])?, Node::in_namespace(&all[3])?);
    server.serve_tcp(SocketAddr::from(([0; 4], 8080)))?;
    server.serve_udp(SocketAddr::from(([0; 4], 8080)))?;
    let mut args = vec!["--events", "ev.parquet", "--packets", "t.pcap", "-f", "tcp or udp"];
    args.push("--no-runtimes");
    let places: Vec<_> = all.iter().map(|name| format!("netns:{name}")).collect();
    for place in &places {
        args.extend(["-i", place]);
    }
    let recording = Recording::start(&ebpfrec(), &args)?;
    let mut talks = vec![];
    let to = SocketAddr::from((ROUTES[0].0, ROUTES[0].1));
    for number in 0..TALKS {
        client.talk_tcp(number, to)?;
        let (client_end, server_end) = (client.talked(number)?, server.served(number)?);
        talks.push(Talk { proto: "tcp", client: client_end, server: server_end, proxy: None });
    }
    for number in TALKS..2 * TALKS {
        client.talk_udp(number, to)?;
        let (client, server) = (client.talked(number)?, server.served(number)?);
        // Its socket is bound to no address: it is the only one there.
        let server = End { local: SocketAddr::from((ROUTES[1].2, 8080)), ..server };
        talks.push(Talk { proto: "udp", client, server, proxy: None });
    }
    let finished = recording.finish()?;
    let packets = packets::join(&finished.path(""), "t.pcap", &[])?;
    // Between the routers nothing is as either end knows it.
    let between = packets.iter().filter(|packet| packet.dst.address.port() == 4444).count();
    ensure!(between > 0, "nothing was captured between the routers");
    let (known, between): (Vec<_>, Vec<_>) = packets.into_iter().partition(|packet| {
        ![&packet.src, &packet.dst].iter().any(|end| end.address.port() == 4444)
    });
    packets::check(&known, &talks, true)?;
    let [client, server] = [talks[0].client.process.pid, talks[0].server.process.pid];
    for packet in between {
        let is_forth = packet.dst.address.port() == 4444;
        let truth = if is_forth { [client, server] } else { [server, client] };
        let told = [packet.src.pid, packet.dst.pid];
        ensure!(told == truth.map(Some), "told {told:?}, true is {truth:?}: {}", packet.line);
    }
    Ok(())
}

fn nft(namespace: &str, rules: &str) -> Result<()> {
    let mut nft = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("nft(8) is needed")?;
    nft.stdin.take().context("no standard input")?.write_all(rules.as_bytes())?;
    ensure!(nft.wait()?.success(), "nft refused {rules}");
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    ip(&["netns", "exec", namespace, "sh", "-c", forward]).map(drop)
}
