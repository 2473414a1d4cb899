//! `nat` and `nat_end` rows, held against the ends that the programs on both sides of a router see.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use netlink_sys::protocols::NETLINK_NETFILTER;
use recorder::{
    namespaces::Namespace,
    netlink::{ACK, ask, request},
};
use schema::Kind;

use super::{
    EBPFREC,
    lab::{await_that, index},
    live::Scenario,
    program::Program,
    recording::{Recording, read_events},
    router::{CLIENT, PUBLISHED, Router, SERVER},
    rows::{EventRow, of_kind},
};

pub(crate) const ALL: &[Scenario] = &[
    ("a_published_port_is_told_as_both_ends_know_it", published),
    ("a_masqueraded_client_is_told_as_both_ends_know_it", masqueraded),
    ("udp_and_icmp_through_a_router_are_told", other_protocols),
    ("what_is_only_routed_is_not_told", routed),
    ("translations_older_than_the_recording_are_told_in_every_part", older),
    ("the_end_of_a_translation_is_told_when_it_is_heard_of", ends),
    ("the_end_of_an_older_translation_is_found_at_the_end", older_end),
    ("a_namespace_that_goes_takes_its_translations_along", namespace_goes),
    ("a_new_namespace_is_heard_of", new_namespace),
    ("a_namespace_without_rules_does_not_begin_to_track", untouched),
];

/// Two programs that talk, and what they see.
pub(crate) struct Talk {
    client: Program,
    server: Program,
    /// The client's end as the client sees it, and as the server does.
    pub(crate) local: SocketAddr,
    peer: SocketAddr,
}

impl Talk {
    /// A client in one namespace asks for a server in another: of both, the namespace, and where the
    /// server is to be found.
    pub(crate) fn start(proto: &str, client: (&str, &str), server: (&str, &str)) -> Result<Self> {
        let [serve, ask] = ["server", "client"].map(|role| format!("{proto}-{role}"));
        let mut server = Program::start_in(server.0, &["talk", &serve, server.1])?;
        server.value::<SocketAddr>("listening")?;
        let mut client = Program::start_in(client.0, &["talk", &ask, client.1])?;
        let local = client.value("local")?;
        let peer = server.value("peer")?;
        Ok(Self { client, server, local, peer })
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.client.finish()?;
        self.server.finish()
    }
}

pub(crate) fn through_the_router(router: &Router) -> Result<Talk> {
    Talk::start("tcp", (&router.client, PUBLISHED), (&router.server, SERVER))
}

pub(crate) fn start() -> Result<Recording> {
    Recording::start(EBPFREC, &["--events", "ev.parquet"])
}

/// The rows of a kind about what this end of a connection began.
pub(crate) fn about(rows: &[EventRow], kind: Kind, local: SocketAddr) -> Vec<&EventRow> {
    let mut rows = of_kind(rows, kind);
    rows.retain(|row| row.local == Some(local));
    rows
}

/// The one row of its kind.
fn only(rows: &[EventRow], kind: Kind, local: SocketAddr) -> Result<&EventRow> {
    let found = about(rows, kind, local);
    ensure!(found.len() == 1, "{} rows {kind} of {local}: {found:#?}", found.len());
    Ok(found[0])
}

/// Says that the row has the four ends of a translation in the router.
fn ensure_ends(
    row: &EventRow,
    router: &Router,
    remote: &str,
    nat_src: SocketAddr,
    nat_dst: &str,
) -> Result<()> {
    let remote: SocketAddr = remote.parse()?;
    let nat_dst: SocketAddr = nat_dst.parse()?;
    ensure!(row.source == "conntrack" && row.netns == Some(router.inode()?), "{row:#?}");
    ensure!(row.remote == Some(remote), "{row:#?}");
    ensure!((row.nat_src, row.nat_dst) == (Some(nat_src), Some(nat_dst)), "{row:#?}");
    // Sockets give the cookie of their namespace since Linux 5.14.
    let has_cookies = recorder::namespaces::own_namespace().0.is_some();
    let is_placed = row.netns_cookie.is_some() || !has_cookies;
    ensure!(row.ct_id.is_some() && row.ct_zone == Some(0) && is_placed);
    Ok(())
}

/// Has the router forget every connection, as `conntrack -F` does.
fn flush(router: &Router) -> Result<()> {
    // `IPCTNL_MSG_CT_DELETE` of ctnetlink: without a tuple, of everything.
    const DELETE: u16 = 1 << 8 | 2;
    let namespace = Namespace::open(format!("/run/netns/{}", router.router).as_ref())?;
    let request = request(DELETE, ACK, &[0; 4]);
    Ok(namespace.run(|| ask(NETLINK_NETFILTER, &request, |_| {}))??)
}

fn published() -> Result<()> {
    let router = Router::new()?;
    router.set(&router.router, "net/netfilter/nf_conntrack_timestamp", "1")?;
    let recording = start()?;
    let talk = through_the_router(&router)?;
    let (local, peer) = (talk.local, talk.peer);
    talk.finish()?;
    let (meta, rows) = recording.finish()?.events("ev.parquet")?;
    let row = only(&rows, Kind::Nat, local)?;
    // The client is seen as it is; only where it goes changes.
    ensure!(peer == local);
    ensure_ends(row, &router, PUBLISHED, local, SERVER)?;
    ensure!(row.proto.as_deref() == Some("tcp"));
    // It begins with the SYN: after the connect, and, where the kernel says when, before its end.
    let connect = only(&rows, Kind::TcpConnect, local)?;
    ensure!(row.boot_ns >= connect.boot_ns, "{row:#?}");
    if tells_when(&meta.kernel) {
        let established = only(&rows, Kind::TcpEstablished, local)?;
        ensure!(row.boot_ns <= established.boot_ns, "{row:#?} {established:#?}");
    }
    let hooks: serde_json::Value = serde_json::from_str(&meta.hooks)?;
    ensure!(hooks["conntrack"] == "attached", "{hooks}");
    Ok(())
}

/// Whether this kernel tells when what it tells of happened: since 6.18.
fn tells_when(kernel: &str) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next(), numbers.next());
    matches!(version, (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 18))
}

fn masqueraded() -> Result<()> {
    let router = Router::new()?;
    let recording = start()?;
    let far = format!("{CLIENT}:9000");
    let talk = Talk::start("tcp", (&router.server, &far), (&router.client, &far))?;
    let (local, peer) = (talk.local, talk.peer);
    talk.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    ensure!(peer.ip().to_string() == "10.99.0.1" && local.ip().to_string() == "172.30.0.2");
    ensure_ends(only(&rows, Kind::Nat, local)?, &router, &far, peer, &far)
}

fn other_protocols() -> Result<()> {
    let router = Router::new()?;
    router.set(&router.server, "net/ipv4/ping_group_range", "0 0")?;
    let recording = start()?;
    let to = ("10.99.0.1:5353", "172.30.0.2:5353");
    let talk = Talk::start("udp", (&router.client, to.0), (&router.server, to.1))?;
    let (local, peer) = (talk.local, talk.peer);
    let mut ping = Program::start_in(&router.server, &["talk", "ping", CLIENT])?;
    let id: u16 = ping.value("id")?;
    ping.finish()?;
    talk.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let row = only(&rows, Kind::Nat, local)?;
    ensure_ends(row, &router, to.0, peer, to.1)?;
    ensure!(row.proto.as_deref() == Some("udp"));
    let echoes = of_kind(&rows, Kind::Nat);
    let echo = echoes
        .iter()
        .find(|row| row.proto.as_deref() == Some("icmp") && row.netns == router.inode().ok());
    let echo = echo.context("no row of the echo")?;
    ensure!(echo.local_addr.as_deref() == Some("172.30.0.2"), "{echo:#?}");
    ensure!(echo.local_port == Some(id), "{echo:#?}");
    ensure!(echo.nat_dst_addr.as_deref() == Some(CLIENT), "{echo:#?}");
    let sent_as = echo.nat_src.context("no translated source")?;
    ensure!(sent_as.ip().to_string() == "10.99.0.1", "{echo:#?}");
    Ok(())
}

/// The router tracks it, as it tracks everything, and sends it on as it is.
fn routed() -> Result<()> {
    let router = Router::new()?;
    let recording = start()?;
    let talk = Talk::start("tcp", (&router.client, SERVER), (&router.server, SERVER))?;
    ensure!(talk.local == talk.peer && router.tracked(&router.router)? > 0);
    talk.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let netns = router.inode()?;
    let told = [of_kind(&rows, Kind::Nat), of_kind(&rows, Kind::NatEnd)].concat();
    ensure!(told.iter().all(|row| row.netns != Some(netns)), "{told:#?}");
    Ok(())
}

fn older() -> Result<()> {
    let router = Router::new()?;
    let talk = through_the_router(&router)?;
    let args = ["--events", "ev.parquet", "--rotate-time", "400ms"];
    let recording = Recording::start(EBPFREC, &args)?;
    let mut told = 0;
    for number in 1..40 {
        let part = recording.folder().join(format!("ev.{number:06}.parquet"));
        await_that("the next part", || part.exists())?;
        let (_, rows) = read_events(&part)?;
        // A part that is too short for all namespaces on a busy machine tells it in the next.
        let Some(row) = about(&rows, Kind::Nat, talk.local).first().copied() else { continue };
        ensure_ends(row, &router, PUBLISHED, talk.peer, SERVER)?;
        ensure!(about(&rows, Kind::NatEnd, talk.local).is_empty());
        told += 1;
        if told == 3 {
            recording.finish()?;
            return talk.finish();
        }
    }
    anyhow::bail!("only {told} parts tell of it")
}

fn ends() -> Result<()> {
    let router = Router::new()?;
    let recording = start()?;
    let first = through_the_router(&router)?;
    let first_local = first.local;
    first.finish()?;
    flush(&router)?;
    // What is told later is later: the end was heard of, and not found when the recording ended.
    let second = through_the_router(&router)?;
    let second_local = second.local;
    second.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let begin = only(&rows, Kind::Nat, first_local)?;
    let end = only(&rows, Kind::NatEnd, first_local)?;
    let next = only(&rows, Kind::Nat, second_local)?;
    ensure!(begin.ct_id == end.ct_id && begin.nat_dst == end.nat_dst, "{begin:#?} {end:#?}");
    ensure!(begin.boot_ns <= end.boot_ns && end.boot_ns <= next.boot_ns, "{end:#?} {next:#?}");
    ensure!(about(&rows, Kind::NatEnd, second_local).is_empty(), "it stands");
    Ok(())
}

/// Of an entry that nobody listened to when it began the kernel does not tell the end.
fn older_end() -> Result<()> {
    let router = Router::new()?;
    let talk = through_the_router(&router)?;
    let local = talk.local;
    let recording = start()?;
    talk.finish()?;
    flush(&router)?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let (begin, end) = (only(&rows, Kind::Nat, local)?, only(&rows, Kind::NatEnd, local)?);
    ensure!(begin.ct_id == end.ct_id && begin.seq < end.seq, "{begin:#?} {end:#?}");
    Ok(())
}

fn namespace_goes() -> Result<()> {
    let mut router = Router::new()?;
    let talk = through_the_router(&router)?;
    let local = talk.local;
    let args = ["--events", "ev.parquet", "--rotate-time", "400ms"];
    let recording = Recording::start(EBPFREC, &args)?;
    let mut all = vec![];
    for number in 1..40 {
        let part = recording.folder().join(format!("ev.{number:06}.parquet"));
        await_that("the next part", || part.exists())?;
        all = read_events(&part)?.1;
        // On a busy machine the first look takes longer than a part.
        if !about(&all, Kind::Nat, local).is_empty() {
            break;
        }
    }
    let begin = about(&all, Kind::Nat, local).first().copied().context("it is not told")?;
    talk.finish()?;
    router.remove()?;
    await_that("the router goes", || index(Some(&router.client), "eth0").is_err())?;
    let finished = recording.finish()?;
    let mut rows = vec![];
    for name in finished.names()? {
        rows.extend(finished.events(&name)?.1);
    }
    let end = only(&rows, Kind::NatEnd, local)?;
    ensure!(begin.ct_id == end.ct_id && begin.netns == end.netns, "{begin:#?} {end:#?}");
    Ok(())
}

fn new_namespace() -> Result<()> {
    let recording = start()?;
    let router = Router::new()?;
    let talk = through_the_router(&router)?;
    let local = talk.local;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let row = only(&rows, Kind::Nat, local)?;
    ensure_ends(row, &router, PUBLISHED, talk.peer, SERVER)?;
    talk.finish()
}

fn untouched() -> Result<()> {
    let router = Router::new()?;
    let recording = start()?;
    let talk = through_the_router(&router)?;
    // Both ends have it, and neither has rules that ask for it.
    let tracked = [&router.client, &router.router, &router.server].map(|it| router.tracked(it));
    let [client, middle, server] = tracked;
    ensure!((client?, server?) == (0, 0) && middle? > 0);
    talk.finish()?;
    recording.finish()?;
    Ok(())
}
