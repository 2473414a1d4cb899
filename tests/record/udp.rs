//! UDP: every datagram of unconnected sockets counted, connected ones with both ends.

use std::{
    collections::HashSet,
    net::{SocketAddr, UdpSocket},
};

use anyhow::{Result, ensure};
use schema::Kind;

use super::{EBPFREC, live::Scenario, program::Program, recording::Recording, rows::EventRow};

pub(crate) const ALL: &[Scenario] = &[
    ("every_datagram_is_counted_once_v4", || counts("127.0.0.1:0", "127.0.0.1:0")),
    ("every_datagram_is_counted_once_v6", || counts("[::1]:0", "[::]:0")),
    ("a_resolvers_sockets_have_both_ends_v4", || resolver("127.0.0.1:0", 200, 0)),
    ("a_resolvers_sockets_have_both_ends_v6", || resolver("[::1]:0", 50, 0)),
    ("connected_sockets_that_stay_have_both_ends", || resolver("127.0.0.1:0", 5, 80)),
];

const EVENTS: &[&str] = &["--events", "ev.parquet"];
const DATAGRAMS: u64 = 1000;

fn total<'a>(rows: impl IntoIterator<Item = &'a EventRow>, kind: Kind, pid: u32) -> u64 {
    rows.into_iter()
        .filter(|row| row.kind == kind && row.pid == Some(pid))
        .filter_map(|row| row.count)
        .sum()
}

fn counts(server_addr: &str, client_addr: &str) -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let datagrams = DATAGRAMS.to_string();
    let mut server = Program::start(&["udp-server", server_addr, &datagrams])?;
    let listening: SocketAddr = server.value("listening")?;
    let mut client =
        Program::start(&["udp-client", client_addr, &listening.to_string(), &datagrams])?;
    let local: SocketAddr = client.value("local")?;
    ensure!(client.value::<u8>("done")? == 1 && server.value::<u8>("done")? == 1);
    let (server_pid, client_pid) = (server.pid(), client.pid());
    client.finish()?;
    // The server's socket is still open when the recording ends.
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    server.finish()?;

    for pid in [server_pid, client_pid] {
        for kind in [Kind::UdpSend, Kind::UdpRecv] {
            ensure!(total(&rows, kind, pid) == DATAGRAMS, "{kind} of {pid}: {rows:#?}");
        }
    }
    for row in &rows {
        let datagrams = matches!(row.kind, Kind::UdpSend | Kind::UdpRecv);
        if datagrams && row.pid == Some(client_pid) {
            ensure!((row.local, row.remote) == (Some(local), Some(listening)), "{row:#?}");
            ensure!(row.direction.as_deref() == Some("out"), "{row:#?}");
        }
        if datagrams && row.pid == Some(server_pid) {
            ensure!(row.direction.as_deref() == Some("in"), "{row:#?}");
            ensure!(row.remote.map(|end| end.port()) == Some(local.port()), "{row:#?}");
        }
    }
    let bind = rows.iter().find(|row| row.kind == Kind::UdpBind && row.pid == Some(server_pid));
    ensure!(bind.is_some_and(|row| row.local == Some(listening) && row.remote.is_none()));
    let close =
        rows.iter().position(|row| row.kind == Kind::UdpClose && row.pid == Some(client_pid));
    let last =
        rows.iter().rposition(|row| row.kind == Kind::UdpSend && row.pid == Some(client_pid));
    ensure!(last.is_some() && last < close, "its datagrams come before the close of a socket");
    Ok(())
}

/// A resolver's socket lives for a moment and never says its port: connect is told before the
/// kernel picks one.
fn resolver(addr: &str, questions: usize, pause_ms: u64) -> Result<()> {
    let server = UdpSocket::bind(addr)?;
    let remote = server.local_addr()?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let args = [&remote.to_string(), &questions.to_string(), &pause_ms.to_string()];
    let mut resolver = Program::start(&["udp-resolver", args[0], args[1], args[2]])?;
    let mut locals = HashSet::new();
    for _ in 0..questions {
        locals.insert(resolver.value::<SocketAddr>("local")?);
    }
    let pid = resolver.pid();
    resolver.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    for kind in [Kind::UdpConnect, Kind::UdpClose] {
        let of_kind: Vec<_> =
            rows.iter().filter(|row| row.kind == kind && row.pid == Some(pid)).collect();
        ensure!(of_kind.len() == questions, "{} rows {kind}", of_kind.len());
        let found: HashSet<_> = of_kind.iter().filter_map(|row| row.local).collect();
        ensure!(found == locals, "{kind}: {found:?} instead of {locals:?}");
        for row in of_kind {
            ensure!(row.remote == Some(remote) && row.community_id.is_some(), "{row:#?}");
            ensure!(row.direction.as_deref() == Some("out"), "{row:#?}");
        }
    }
    Ok(())
}
