//! Datagrams between a client's socket, connected or not, and a server's, bound to all addresses.

use std::net::SocketAddrV4;

use super::draft::{Draft, Sock};
use super::place::{Path, end};
use super::world::{MS, Packet, Row, SECOND, Us};

/// One client socket from `at` on; when the port is free again.
pub(super) fn run(draft: &mut Draft, path: &Path, at: Us) -> Us {
    let client = path.client.map(|_| draft.process('u'));
    let cookie = draft.id();
    let connected = draft.rng.percent(50);
    let server = path.server.and_then(|(ns, (local, _))| {
        let there = draft.listening(true, ns, local.port(), at + MS);
        // The kernel gives all of one peer to one of them, by a hash of both ends.
        (!there.is_empty())
            .then(|| there[usize::from(path.views[0].1.0.port()) % there.len()].clone())
    });
    let far = path.client.is_none() || path.server.is_none();
    let wildcard = |local: SocketAddrV4| end([0; 4], local.port());
    let client_row = |draft: &mut Draft, at: Us, kind: &'static str, told: bool| {
        let Some((ns, (local, remote))) = path.client else { return };
        let local = if connected { local } else { wildcard(local) };
        let remote = (connected || told).then_some(remote);
        let who = client.clone().unwrap_or_default();
        let row =
            Row { who, cookie, ns, udp: true, local: Some(local), remote, ..Row::new(at, kind) };
        draft.row(row);
    };
    let server_row = |draft: &mut Draft, at: Us, kind: &'static str| {
        let (Some((ns, (local, remote))), Some(server)) = (path.server, &server) else { return };
        if at < server.to {
            let (local, remote) = (Some(wildcard(local)), Some(remote));
            let who = server.who.clone();
            draft.row(Row {
                who,
                cookie: server.cookie,
                ns,
                udp: true,
                local,
                remote,
                ..Row::new(at, kind)
            });
        }
    };
    let mut now = at + draft.rng.within(20, 2 * MS);
    let begun = now;
    if connected {
        client_row(draft, at, "udp_connect", true);
    } else if draft.rng.percent(40) {
        client_row(draft, at, "udp_bind", false);
    }
    let ends = path.views[0].1;
    let send = |draft: &mut Draft, at: Us, up: bool, by_client: &[String], by_server: &[String]| {
        let mut truth = [by_client.to_vec(), by_server.to_vec()];
        if !up {
            truth.reverse();
        }
        let packet = Packet {
            at,
            src: ends.0,
            dst: ends.1,
            udp: true,
            flags: "",
            seq: 0,
            ack: 0,
            interface: 0,
            truth,
        };
        draft.send(path, up, packet);
    };
    for n in 0..draft.rng.within(1, 5) {
        // A server that closed meanwhile receives nothing; one that opened does.
        let there: Vec<_> = match (&server, path.server) {
            (Some(server), _) if now + MS < server.to => vec![server.who.clone()],
            (_, Some((ns, (local, _)))) => {
                let there = draft.listening(true, ns, local.port(), now);
                there.into_iter().map(|server| server.who).collect()
            }
            _ => vec![],
        };
        if n == 0 && !connected {
            client_row(draft, now - 10, "udp_send", true);
        }
        send(draft, now, true, client.as_slice(), &there);
        let answers = if path.server.is_none() {
            draft.rng.percent(90)
        } else {
            server.as_ref().is_some_and(|server| there.contains(&server.who))
        };
        let takes = if far { draft.rng.within(200, 50 * MS) } else { 75 };
        // A server that is closed meanwhile answers nothing.
        let closes = path.server.is_some() && server.as_ref().is_some_and(|it| it.to < now + takes);
        if answers && !closes {
            if n == 0 {
                server_row(draft, now + 40, "udp_recv");
                server_row(draft, now + 60, "udp_send");
            }
            now += takes;
            send(draft, now, false, client.as_slice(), &there);
            if n == 0 && !connected {
                client_row(draft, now + 30, "udp_recv", true);
            }
        }
        let wait = draft.rng.pick(&[MS, 100 * MS, SECOND, 8 * SECOND]);
        now += draft.rng.within(wait / 2, wait);
    }
    let closed = now;
    client_row(draft, closed, "udp_close", false);
    if path.server.is_none() && draft.rng.percent(20) {
        // An answer that nobody waits for any more.
        now += draft.rng.within(30, 150 * MS);
        send(draft, now, false, &[], &[]);
    }
    if let (Some((ns, (local, remote))), Some(holder)) = (path.client, client) {
        let local = if connected { local } else { wildcard(local) };
        let remote = connected.then_some(remote);
        let row =
            Row { cookie, ns, udp: true, local: Some(local), remote, ..Row::new(at, "udp_bind") };
        draft.keep(Sock { row, opened: at, closed: Some(closed), holder, handed: None });
    }
    if let Some(((src, dst), onward)) = path.nat {
        let ct = u32::try_from(draft.id()).expect("few");
        let late = draft.rng.within(0, 20 * MS);
        let row = Row {
            ns: 1,
            udp: true,
            local: Some(src),
            remote: Some(dst),
            onward: Some(onward),
            ct,
            ..Row::new(begun + late, "nat")
        };
        let late = draft.rng.within(30 * SECOND, 90 * SECOND);
        draft.row(Row { at: now + late, kind: "nat_end", ..row.clone() });
        draft.row(row);
    }
    now + 1_000
}
