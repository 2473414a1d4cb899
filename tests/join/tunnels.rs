//! Packets in packets: the innermost one counts, and where nobody knows whose that is, the one that
//! it is in.

use serde_json::json;

use crate::scene::{datagrams, ip, meta, pcapng_of, put, rows, scene, write_events};
use crate::tools::{ebpfjoin, join};

const VTEP: ([u8; 4], u16) = ([192, 0, 2, 1], 50000);
const PEER: ([u8; 4], u16) = ([192, 0, 2, 2], 4789);

/// A packet in VXLAN, as nodes of a cluster send it to each other.
fn vxlan(inner: &[u8]) -> Vec<u8> {
    let mut datagram = [VTEP.1.to_be_bytes(), PEER.1.to_be_bytes()].concat();
    datagram.extend(u16::try_from(8 + 8 + 14 + inner.len()).expect("short").to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend([8, 0, 0, 0, 0, 0, 7, 0]);
    datagram.extend([0; 12]);
    datagram.extend([8, 0]);
    datagram.extend(inner);
    ip(17, VTEP, PEER, &datagram)
}

fn tunnelled() -> Vec<u8> {
    let packets: Vec<_> = datagrams().iter().map(|inner| vxlan(inner)).collect();
    pcapng_of(&packets, false, &[])
}

#[test]
fn the_ends_of_the_inner_packet_are_named() {
    let folder = scene();
    put(&folder, "in.pcapng", &tunnelled());
    let summary = join(folder.path(), "in.pcapng", &[]);
    assert_eq!(summary["source"]["by_match"], json!({"exact": 5, "early": 1}));
    assert_eq!(summary["destination"]["by_match"], json!({"exact": 4, "early": 2}));
    // Nobody recorded the query in it, nor the tunnel: what is said is of the query.
    assert_eq!(summary["source"]["by_reason"], json!({"no-socket": 2}));
    assert_eq!(summary["destination"]["by_reason"], json!({"remote": 2}));
}

#[test]
fn where_nobody_knows_them_whoever_keeps_the_tunnel_is() {
    let folder = scene();
    let [mut tunnel, ..] = rows();
    tunnel.kind = "udp_connect";
    tunnel.proto = Some("udp");
    (tunnel.local_addr, tunnel.local_port) = (Some("192.0.2.1"), Some(VTEP.1));
    (tunnel.remote_addr, tunnel.remote_port) = (Some("192.0.2.2"), Some(PEER.1));
    (tunnel.pid, tunnel.comm, tunnel.socket_cookie) = (Some(99), Some("overlay"), Some(33));
    let all: Vec<_> = [tunnel].into_iter().chain(rows()).collect();
    write_events(&folder.path().join("ev.parquet"), &all, &meta());
    put(&folder, "in.pcapng", &tunnelled());
    let summary = join(folder.path(), "in.pcapng", &[]);
    // Six packets by their own ends, and the two queries by the tunnel's.
    assert_eq!(summary["source"]["named"], 8);
    assert_eq!(summary["destination"]["named"], 6);
    let explain = |frame| {
        let args = ["explain", "in.pcapng", "ev.parquet", "--frame", frame];
        let output = ebpfjoin(folder.path(), &args);
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let told = explain("7");
    let parts = [
        "udp 10.0.0.1:40000 > 8.8.8.8:53",
        "no-socket",
        "the packet it is in: udp 192.0.2.1:50000",
    ];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    assert!(told.contains("= overlay[99], exact"), "{told}");
    assert!(!explain("1").contains("192.0.2.1"), "the inner one settles it");
}
