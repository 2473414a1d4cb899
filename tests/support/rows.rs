//! Rows of an event file, owned, with the columns that tests look at.

use std::net::SocketAddr;

use schema::{Event, Kind};

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct EventRow {
    pub(crate) ts: i64,
    pub(crate) boot_ns: u64,
    pub(crate) host: String,
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) source: String,
    pub(crate) direction: Option<String>,
    pub(crate) local_addr: Option<String>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) socket_cookie: Option<u64>,
    pub(crate) peer_cookie: Option<u64>,
    pub(crate) netns: Option<u64>,
    pub(crate) netns_cookie: Option<u64>,
    pub(crate) ifname: Option<String>,
    pub(crate) ifindex: Option<u32>,
    pub(crate) mac: Option<String>,
    pub(crate) peer_ifindex: Option<u32>,
    pub(crate) peer_netns: Option<u64>,
    pub(crate) community_id: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) tid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) user: Option<String>,
    pub(crate) comm: Option<String>,
    pub(crate) thread: Option<String>,
    pub(crate) exe: Option<String>,
    pub(crate) cmdline: Option<String>,
    pub(crate) start_ts: Option<i64>,
    pub(crate) ppid: Option<u32>,
    pub(crate) parent_exe: Option<String>,
    pub(crate) cgroup_id: Option<u64>,
    pub(crate) cgroup_path: Option<String>,
    pub(crate) container_id: Option<String>,
    pub(crate) container_name: Option<String>,
    pub(crate) container_image: Option<String>,
    pub(crate) pod_name: Option<String>,
    pub(crate) pod_namespace: Option<String>,
    pub(crate) pod_uid: Option<String>,
    pub(crate) container_runtime: Option<String>,
    pub(crate) latency_us: Option<u32>,
    pub(crate) bytes_sent: Option<u64>,
    pub(crate) bytes_received: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) count: Option<u64>,
    pub(crate) mono_offset_ns: Option<i64>,
    pub(crate) proto: Option<String>,
    pub(crate) local_port: Option<u16>,
    pub(crate) nat_src: Option<SocketAddr>,
    /// Where the translation leads.
    pub(crate) nat_dst: Option<SocketAddr>,
    pub(crate) nat_dst_addr: Option<String>,
    pub(crate) ct_id: Option<u32>,
    pub(crate) ct_zone: Option<u16>,
}

impl EventRow {
    /// Copies a row.
    pub(crate) fn new(event: &Event<'_>) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let end = |addr: Option<&str>, port: Option<u16>| -> Option<SocketAddr> {
            Some(SocketAddr::new(addr?.parse().ok()?, port?))
        };
        Self {
            ts: event.ts,
            boot_ns: event.boot_ns,
            host: event.host.to_owned(),
            kind: Kind::from_text(event.kind).expect("a kind of the contract"),
            seq: event.seq,
            source: event.source.to_owned(),
            direction: own(event.direction),
            local_addr: own(event.local_addr),
            local: end(event.local_addr, event.local_port),
            remote: end(event.remote_addr, event.remote_port),
            socket_cookie: event.socket_cookie,
            peer_cookie: event.peer_cookie,
            netns: event.netns,
            netns_cookie: event.netns_cookie,
            ifname: own(event.ifname),
            ifindex: event.ifindex,
            mac: own(event.mac),
            peer_ifindex: event.peer_ifindex,
            peer_netns: event.peer_netns,
            community_id: own(event.community_id),
            pid: event.pid,
            tid: event.tid,
            uid: event.uid,
            user: own(event.user),
            comm: own(event.comm),
            thread: own(event.thread),
            exe: own(event.exe),
            cmdline: own(event.cmdline),
            start_ts: event.start_ts,
            ppid: event.ppid,
            parent_exe: own(event.parent_exe),
            cgroup_id: event.cgroup_id,
            cgroup_path: own(event.cgroup_path),
            container_id: own(event.container_id),
            container_name: own(event.container_name),
            container_image: own(event.container_image),
            pod_name: own(event.pod_name),
            pod_namespace: own(event.pod_namespace),
            pod_uid: own(event.pod_uid),
            container_runtime: own(event.container_runtime),
            latency_us: event.latency_us,
            bytes_sent: event.bytes_sent,
            bytes_received: event.bytes_received,
            error: own(event.error),
            count: event.count,
            mono_offset_ns: event.mono_offset_ns,
            proto: own(event.proto),
            local_port: event.local_port,
            nat_src: end(event.nat_src_addr, event.nat_src_port),
            nat_dst: end(event.nat_dst_addr, event.nat_dst_port),
            nat_dst_addr: own(event.nat_dst_addr),
            ct_id: event.ct_id,
            ct_zone: event.ct_zone,
        }
    }
}

/// The rows of a kind.
pub(crate) fn of_kind(rows: &[EventRow], kind: Kind) -> Vec<&EventRow> {
    rows.iter().filter(|row| row.kind == kind).collect()
}

/// The one row of a kind that process `pid` is the cause of.
pub(crate) fn only(rows: &[EventRow], kind: Kind, pid: u32) -> anyhow::Result<&EventRow> {
    let found: Vec<_> =
        rows.iter().filter(|row| row.kind == kind && row.pid == Some(pid)).collect();
    anyhow::ensure!(found.len() == 1, "{} rows {kind} of process {pid}: {found:#?}", found.len());
    Ok(found[0])
}
