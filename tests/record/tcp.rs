//! TCP: connect, accept, close, failure, on IPv4 and IPv6.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    live::Scenario,
    program::{PLAY, Program, take_one},
    recording::Recording,
    rows::{EventRow, of_kind, only},
};

pub(crate) const ALL: &[Scenario] = &[
    ("tcp_v4_has_both_ends_and_their_counters", || both_ends("127.0.0.1:0")),
    ("tcp_v6_has_both_ends_and_their_counters", || both_ends("[::1]:0")),
    ("a_refused_connect_has_its_error_v4", || refused("127.0.0.1:0")),
    ("a_refused_connect_has_its_error_v6", || refused("[::1]:0")),
    ("a_connect_without_a_way_is_told_v4", || no_way("255.255.255.255:9")),
    ("a_connect_without_a_way_is_told_v6", || no_way("[ff02::1]:9")),
    ("a_worker_behind_a_listener_gets_an_owner_row", worker),
    ("a_thread_is_told_from_its_process", thread_name),
    ("a_process_is_described", description),
    ("a_process_in_a_container_has_its_id", container),
    ("a_container_that_is_gone_at_once_is_known", brief_container),
];

const EVENTS: &[&str] = &["--events", "ev.parquet"];
const BYTES: u64 = 70_001;

fn both_ends(addr: &str) -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut server = Program::start(&["tcp-server", addr])?;
    let _: u64 = server.value("start")?;
    let listening: SocketAddr = server.value("listening")?;
    let mut client = Program::start(&["tcp-client", &listening.to_string(), &BYTES.to_string()])?;
    let _: u64 = client.value("start")?;
    let local: SocketAddr = client.value("local")?;
    ensure!(client.value::<u64>("received")? == BYTES);
    let (server_pid, client_pid) = (server.pid(), client.pid());
    client.finish()?;
    server.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;

    let listen = only(&rows, Kind::TcpListen, server_pid)?;
    ensure!((listen.local, listen.remote) == (Some(listening), None), "{listen:#?}");
    let connect = only(&rows, Kind::TcpConnect, client_pid)?;
    let established = only(&rows, Kind::TcpEstablished, client_pid)?;
    let client_close = only(&rows, Kind::TcpClose, client_pid)?;
    for row in [connect, established, client_close] {
        ensure!((row.local, row.remote) == (Some(local), Some(listening)), "{row:#?}");
        ensure!(row.direction.as_deref() == Some("out"), "{row:#?}");
        ensure!(row.socket_cookie.is_some() && row.socket_cookie == connect.socket_cookie);
    }
    ensure!(established.latency_us.is_some_and(|latency| latency > 0), "{established:#?}");
    let accept = only(&rows, Kind::TcpAccept, server_pid)?;
    let server_close = rows
        .iter()
        .find(|row| row.kind == Kind::TcpClose && row.socket_cookie == accept.socket_cookie)
        .context("the accepted socket was not closed")?;
    for row in [accept, server_close] {
        ensure!((row.local, row.remote) == (Some(listening), Some(local)), "{row:#?}");
        ensure!(row.direction.as_deref() == Some("in"), "{row:#?}");
        ensure!(row.pid == Some(server_pid), "{row:#?}");
    }
    for close in [client_close, server_close] {
        ensure!(close.bytes_sent == Some(BYTES), "{close:#?}");
        ensure!(close.bytes_received == Some(BYTES), "{close:#?}");
    }
    for row in of_kind(&rows, Kind::Owner) {
        let ours = [accept.socket_cookie, connect.socket_cookie].contains(&row.socket_cookie);
        ensure!(!ours, "nobody else used the sockets: {row:#?}");
    }
    let id = &connect.community_id;
    ensure!(id.is_some() && *id == accept.community_id, "one flow has one Community ID");
    let order = [connect, established, client_close].map(|row| (row.seq, row.boot_ns));
    ensure!(order.is_sorted(), "{order:?}");
    Ok(())
}

fn refused(addr: &str) -> Result<()> {
    // A port that nobody listens on, because we bound it and do not listen.
    let listener = TcpListener::bind(addr)?;
    let free = listener.local_addr()?;
    drop(listener);
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut client = Program::start(&["tcp-refused", &free.to_string()])?;
    let pid = client.pid();
    let errno: i32 = client.value("error")?;
    ensure!(errno == rustix::io::Errno::CONNREFUSED.raw_os_error());
    client.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let connect = only(&rows, Kind::TcpConnect, pid)?;
    let fail = only(&rows, Kind::TcpConnectFail, pid)?;
    ensure!(fail.error.as_deref() == Some("ECONNREFUSED"), "{fail:#?}");
    ensure!(fail.remote == Some(free) && fail.local == connect.local, "{fail:#?}");
    ensure!(!rows.iter().any(|row| row.kind == Kind::TcpClose && row.pid == Some(pid)));
    Ok(())
}

/// The kernel refuses it before a SYN is sent: nobody connects to all at once.
fn no_way(addr: &str) -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut client = Program::start(&["tcp-refused", addr])?;
    let pid = client.pid();
    let errno: i32 = client.value("error")?;
    ensure!(errno == rustix::io::Errno::NETUNREACH.raw_os_error());
    client.finish()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let fail = only(&rows, Kind::TcpConnectFail, pid)?;
    ensure!((fail.local, fail.remote) == (None, Some(addr.parse()?)), "{fail:#?}");
    ensure!(fail.direction.as_deref() == Some("out") && fail.error.is_none(), "{fail:#?}");
    ensure!(!rows.iter().any(|row| row.kind == Kind::TcpConnect && row.pid == Some(pid)));
    Ok(())
}

fn worker() -> Result<()> {
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut master = Program::start(&["tcp-master", "tcp-worker", "127.0.0.1:0"])?;
    let listening: SocketAddr = master.value("listening")?;
    let worker: u32 = master.value("worker")?;
    let mut client = Program::start(&["tcp-client", &listening.to_string(), "10"])?;
    let _: u64 = client.value("start")?;
    let local: SocketAddr = client.value("local")?;
    ensure!(client.value::<u64>("received")? == 10);
    let master_pid = master.pid();
    // They are still there when their events are read.
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    client.finish()?;
    master.finish()?;
    let accept = only(&rows, Kind::TcpAccept, master_pid)?;
    let owner = only(&rows, Kind::Owner, worker)?;
    ensure!(owner.socket_cookie == accept.socket_cookie, "{owner:#?}");
    ensure!((owner.local, owner.remote) == (Some(listening), Some(local)), "{owner:#?}");
    ensure!(owner.direction.as_deref() == Some("in"), "{owner:#?}");
    let cmdline = owner.cmdline.as_deref().context("the worker's arguments")?;
    ensure!(cmdline.ends_with("play tcp-worker"), "{cmdline}");
    Ok(())
}

fn thread_name() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut program = Program::start(&["tcp-thread", &listener.local_addr()?.to_string()])?;
    let tid: u32 = program.value("tid")?;
    let pid = program.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    program.finish()?;
    let connect = only(&rows, Kind::TcpConnect, pid)?;
    ensure!(connect.tid == Some(tid) && tid != pid, "{connect:#?}");
    ensure!(connect.thread.as_deref() == Some("a thread"), "{connect:#?}");
    ensure!(connect.comm == own_comm(), "{connect:#?}");
    Ok(())
}

/// The name the kernel gives processes of this executable.
fn own_comm() -> Option<String> {
    let exe = std::env::current_exe().ok()?;
    let name = exe.file_name()?.to_str()?;
    Some(name.chars().take(15).collect())
}

fn description() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut client = Program::start(&["tcp-client", &addr, "1"])?;
    let start_ticks: u64 = client.value("start")?;
    take_one(&listener)?;
    let _: SocketAddr = client.value("local")?;
    ensure!(client.value::<u64>("received")? == 0);
    let pid = client.pid();
    let finished = recording.finish()?;
    client.finish()?;
    let (meta, rows) = finished.events("ev.parquet")?;
    let connect = only(&rows, Kind::TcpConnect, pid)?;
    let exe = std::env::current_exe()?.canonicalize()?;
    let exe = exe.to_str().context("a path in UTF-8")?;
    ensure!(connect.exe.as_deref() == Some(exe), "{connect:#?}");
    let cmdline = connect.cmdline.as_deref().context("arguments")?;
    ensure!(cmdline.ends_with(&format!(" {PLAY} tcp-client {addr} 1")), "{cmdline}");
    ensure!(connect.comm == own_comm() && connect.thread.is_none(), "{connect:#?}");
    ensure!(connect.tid == Some(pid) && connect.ppid == Some(std::process::id()));
    ensure!(connect.parent_exe.as_deref() == Some(exe), "{connect:#?}");
    ensure!(connect.uid == Some(rustix::process::getuid().as_raw()));
    if connect.uid == Some(0) {
        ensure!(connect.user.as_deref() == Some("root"));
    }
    ensure!(connect.cgroup_path.is_some(), "{connect:#?}");
    let netns = std::fs::metadata("/proc/self/ns/net")?;
    ensure!(connect.netns == Some(std::os::unix::fs::MetadataExt::ino(&netns)), "{connect:#?}");
    ensure!(connect.host == meta.host && connect.source == "probe");
    ensure_start(connect, start_ticks)
}

/// A process's start is its clock ticks since boot, plus the offset of the row's wall clock.
fn ensure_start(row: &EventRow, ticks: u64) -> Result<()> {
    let per_second = rustix::param::clock_ticks_per_second();
    let since_boot = i64::try_from(ticks * (1_000_000_000 / per_second))?;
    let offset = row.ts - i64::try_from(row.boot_ns)?;
    let start = row.start_ts.context("a start time")?;
    // The clock may be slewed while the test runs, by half a millisecond a second.
    ensure!(start.abs_diff(since_boot + offset) < 10_000_000, "{start} {since_boot} {offset}");
    Ok(())
}

/// A cgroup of version 2 that looks like a container's, taken away at the end.
struct ContainerGroup {
    path: PathBuf,
    /// Below the root of the hierarchy.
    shown: String,
}

const CONTAINER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

impl ContainerGroup {
    fn new(name: &str) -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let path = fields.next()?;
            (fields.next() == Some("cgroup2")).then_some(path)
        });
        let shown = format!("/ebpfrec-{name}-{}/docker/{CONTAINER}", std::process::id());
        let path = PathBuf::from(format!("{}{shown}", root.context("no cgroup v2")?));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, shown })
    }
}

impl Drop for ContainerGroup {
    fn drop(&mut self) {
        // Innermost first. What is in use stays, under a name that says whose it is.
        for folder in self.path.ancestors().take(3) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn container() -> Result<()> {
    let group = ContainerGroup::new("test")?;
    let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&group.path)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let folder = group.path.to_str().context("a path in UTF-8")?;
    let client = Program::start(&["in-cgroup", folder, "tcp-client", &addr, "1"])?;
    take_one(&listener)?;
    let pid = client.pid();
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    client.finish()?;
    let connect = only(&rows, Kind::TcpConnect, pid)?;
    ensure!(connect.cgroup_id == Some(id), "{connect:#?}");
    ensure!(connect.cgroup_path.as_deref() == Some(group.shown.as_str()), "{connect:#?}");
    ensure!(connect.container_id.as_deref() == Some(CONTAINER), "{connect:#?}");
    ensure!(connect.container_runtime.as_deref() == Some("docker"), "{connect:#?}");
    Ok(())
}

/// Its process ends as soon as it is connected, and so does its cgroup: there is nothing in `/proc` to
/// be read when the recorder looks at the ring.
fn brief_container() -> Result<()> {
    const ROUNDS: usize = 12;
    /// A runtime makes the cgroup first, and then takes longer to start a process.
    const STARTING: Duration = Duration::from_millis(50);
    let recording = Recording::start(EBPFREC, EVENTS)?;
    let mut pids = vec![];
    for round in 0..ROUNDS {
        let group = ContainerGroup::new(&format!("brief-{round}"))?;
        let folder = group.path.to_str().context("a path in UTF-8")?;
        thread::sleep(STARTING);
        let mut client = Program::start(&["in-cgroup", folder, "tcp-refused", "127.0.0.1:1"])?;
        pids.push(client.pid());
        let _: i32 = client.value("error")?;
        client.finish()?;
    }
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    for pid in pids {
        let connect = only(&rows, Kind::TcpConnect, pid)?;
        ensure!(connect.container_id.as_deref() == Some(CONTAINER), "{connect:#?}");
        let path = connect.cgroup_path.as_deref().context("no path")?;
        ensure!(path.starts_with("/ebpfrec-brief-") && path.ends_with(CONTAINER), "{connect:#?}");
    }
    Ok(())
}
