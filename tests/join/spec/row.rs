//! A line of a scenario as a row of an event file.

use schema::{Event, Source};

use super::{Pids, START_NS, number, value};

/// Address and port of `ADDRESS:PORT`; either may be missing.
fn end(text: &str) -> (Option<&str>, Option<u16>) {
    let (address, port) = match text.rsplit_once(':') {
        // An IPv6 address without a port.
        Some((address, _)) if address.contains(':') && !address.starts_with('[') => (text, ""),
        Some(split) => split,
        None => (text, ""),
    };
    (Some(address.trim_matches(['[', ']'])), port.parse().ok())
}

/// `words` are what follows time and kind.
pub(super) fn parse<'a>(
    host: &'a str,
    ts: i64,
    kind: &'a str,
    words: &[&'a str],
    pids: &mut Pids<'a>,
) -> Event<'a> {
    assert!(schema::Kind::from_text(kind).is_some(), "a kind: {kind}");
    let mut row = Event {
        host,
        ts,
        // The machine was up for a while; a step of its wall clock is told by `boot`.
        boot_ns: u64::try_from(ts - START_NS + 1_000_000_000_000).expect("up"),
        kind,
        source: Source::Probe.as_str(),
        start_ts: Some(START_NS - 5_000_000_000),
        netns: number(words, "ns"),
        ifname: value(words, "if"),
        ifindex: number(words, "index"),
        container_name: value(words, "container"),
        container_id: value(words, "container"),
        bytes_sent: number(words, "sent"),
        bytes_received: number(words, "received"),
        error: value(words, "error"),
        count: number(words, "count"),
        v6only: number(words, "v6only"),
        direction: value(words, "direction"),
        peer_cookie: number(words, "peer"),
        ct_id: number(words, "ct"),
        peer_netns: number(words, "beyond"),
        cmdline: None,
        ..Event::default()
    };
    if let Some(boot) = value(words, "boot") {
        row.boot_ns = u64::try_from(super::ns(boot) - START_NS + 1_000_000_000_000).expect("up");
    }
    if let Some(offset) = value(words, "offset") {
        row.mono_offset_ns = Some(super::ns(offset) - 1_000_000_000_000);
    }
    row.proto = match kind.split_once('_') {
        Some((proto @ ("tcp" | "udp"), _)) => Some(proto),
        _ => Some(value(words, "proto").unwrap_or("tcp")),
    };
    let plain: Vec<_> = words.iter().filter(|word| !word.contains('=') || **word == "=>").collect();
    let mut plain = plain.into_iter().copied().peekable();
    if let Some((name, cookie)) = plain.peek().and_then(|word| word.split_once('#')) {
        plain.next();
        row.socket_cookie = Some(cookie.parse().unwrap_or_else(|_| panic!("a socket: {cookie}")));
        process(&mut row, name, pids);
    } else if kind == "exec" {
        let name = plain.next().expect("a name");
        process(&mut row, name, pids);
    }
    // By another name.
    if let Some(of) = value(words, "of") {
        row.pid = Some(pids.of(of));
    }
    if row.direction.is_none() {
        row.direction = match kind {
            "tcp_connect" | "tcp_established" | "tcp_connect_fail" | "udp_connect" => Some("out"),
            "tcp_accept" => Some("in"),
            _ => None,
        };
    }
    let rest: Vec<_> = plain.collect();
    let (original, onward) = match rest.iter().position(|&word| word == "=>") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (&rest[..], &[][..]),
    };
    let ends = |words: &[&'a str]| match *words {
        [] => [(None, None); 2],
        [local] => [end(local), (None, None)],
        [local, ">", remote] => [end(local), end(remote)],
        _ => panic!("ends: {words:?}"),
    };
    [(row.local_addr, row.local_port), (row.remote_addr, row.remote_port)] = ends(original);
    let onward = ends(onward);
    // A published port leads to one end.
    let onward = if kind == "publish" { [onward[1], onward[0]] } else { onward };
    [(row.nat_src_addr, row.nat_src_port), (row.nat_dst_addr, row.nat_dst_port)] = onward;
    row
}

fn process<'a>(row: &mut Event<'a>, name: &'a str, pids: &mut Pids<'a>) {
    if name == "-" {
        return;
    }
    row.comm = Some(name);
    row.pid = Some(pids.of(name));
    row.tid = row.pid;
    // What docker-proxy is started with tells which port it is for.
    if let Some(port) = name.strip_prefix("proxy-") {
        row.comm = Some("docker-proxy");
        row.cmdline = Some(proxy(port));
    }
}

/// Arguments of the proxies that scenarios have.
fn proxy(port: &str) -> &'static str {
    match port {
        "4443" => {
            "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 4443 \
             -container-ip 172.17.0.2 -container-port 8080"
        }
        "v6" => {
            "/usr/bin/docker-proxy -proto tcp -host-ip :: -host-port 4443 \
             -container-ip 172.17.0.2 -container-port 8080"
        }
        "5353" => {
            "/usr/bin/docker-proxy -proto udp -host-ip 0.0.0.0 -host-port 5353 \
             -container-ip 172.17.0.2 -container-port 5353"
        }
        other => panic!("no such proxy: {other}"),
    }
}
