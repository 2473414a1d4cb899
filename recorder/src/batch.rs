//! Rows to record batches: gives every row its number, its wall clock and its text.

use std::{borrow::Cow, fmt::Write as _, num::NonZeroUsize};

use arrow_array::RecordBatch;
use lru::LruCache;
use schema::{Event, Kind, Source, batch::BatchBuilder, community_id::community_id};

use crate::{
    clock::{Offsets, Sample},
    container::{Details, Directory, Membership, Names, Pod, Publication},
    errno::errno_name,
    interfaces::Serves,
    process::{Process, Processes},
    row::{Body, Owner, ProcessRow, Row, SocketRow},
    users::Users,
};

/// Namespaces whose inode is remembered.
const MAX_NAMESPACES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What the `error` column says of an interface that is gone, or has lost the address.
const REMOVED: &str = "removed";

/// Makes batches.
pub struct Batcher {
    builder: BatchBuilder,
    host: String,
    seq: u64,
    last_boot_ns: u64,
    offsets: Offsets,
    /// Offset that gives process start times; one for the whole recording, so that one process has
    /// one start time even if the clock is set.
    start_offset_ns: i64,
    ticks_per_second: u64,
    users: Users,
    directory: Directory,
    namespaces: LruCache<u64, u64>,
    kinds: [u64; Kind::ALL.len()],
    local: String,
    remote: String,
}

impl Batcher {
    /// For a recording on this host that starts at `start`, with the names of its containers.
    #[must_use]
    pub fn new(host: String, start: Sample, directory: Directory) -> Self {
        Self {
            builder: BatchBuilder::default(),
            host,
            seq: 0,
            last_boot_ns: start.boot_ns,
            offsets: Offsets::new(start),
            start_offset_ns: start.offset_ns,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            users: Users::new("/etc/passwd".into()),
            directory,
            namespaces: LruCache::new(MAX_NAMESPACES),
            kinds: [0; Kind::ALL.len()],
            local: String::new(),
            remote: String::new(),
        }
    }

    /// The namespace with this cookie has this inode.
    pub fn set_namespace(&mut self, cookie: u64, inode: u64) {
        self.namespaces.put(cookie, inode);
    }

    /// Whether the inode of the namespace with this cookie is known.
    #[must_use]
    pub fn knows_namespace(&self, cookie: u64) -> bool {
        self.namespaces.contains(&cookie)
    }

    /// The time of the last row, `CLOCK_BOOTTIME` in nanoseconds.
    #[must_use]
    pub fn last_boot_ns(&self) -> u64 {
        self.last_boot_ns
    }

    /// The offset of the wall clock that rows of this time are given, nanoseconds.
    #[must_use]
    pub fn offset_ns(&self, boot_ns: u64) -> i64 {
        self.offsets.wall_ns(boot_ns).saturating_sub(boot_ns.cast_signed())
    }

    /// Rows given so far, by kind, in the order of [`Kind::ALL`].
    #[must_use]
    pub fn kinds(&self) -> [u64; Kind::ALL.len()] {
        self.kinds
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.builder.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// The rows since the last batch.
    #[must_use]
    pub fn take(&mut self) -> RecordBatch {
        self.builder.finish()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row, processes: &mut Processes) {
        if let Body::Clock(offset_ns) = row.body {
            self.offsets.push(Sample { boot_ns: row.boot_ns, offset_ns });
        }
        let kind = row.body.kind();
        let host = std::mem::take(&mut self.host);
        let base = Event {
            ts: self.offsets.wall_ns(row.boot_ns),
            boot_ns: row.boot_ns,
            host: &host,
            kind: kind.as_str(),
            seq: self.seq,
            source: match &row.body {
                Body::Socket(socket) if socket.kind != Kind::Socket => Source::Probe,
                Body::Process(_) => Source::Probe,
                Body::Socket(_) | Body::Interface(_) => Source::Snapshot,
                Body::Publish(_) => Source::Runtime,
                Body::Clock(_) | Body::Lost(..) => Source::Recorder,
            }
            .as_str(),
            ..Event::default()
        };
        match &row.body {
            Body::Socket(socket) => self.push_socket(socket, base, processes),
            Body::Process(process) => self.push_process(process, base, processes),
            Body::Clock(offset_ns) => {
                self.builder.append(&Event { mono_offset_ns: Some(*offset_ns), ..base });
            }
            Body::Lost(stage, count) => self.builder.append(&Event {
                error: Some(stage.as_str()),
                count: Some(*count),
                ..base
            }),
            Body::Interface(interface) => {
                let address = interface.address.map(|address| address.to_canonical().to_string());
                let event = Event {
                    ifname: Some(&interface.name),
                    ifindex: Some(interface.index),
                    mac: interface.mac.as_deref(),
                    netns: Some(interface.netns),
                    netns_cookie: interface.netns_cookie,
                    peer_ifindex: interface.peer.map(|peer| peer.index),
                    peer_netns: interface.peer.and_then(|peer| peer.netns),
                    local_addr: address.as_deref(),
                    error: interface.removed.then_some(REMOVED),
                    ..base
                };
                let serves = interface.serves.as_deref();
                let container = serves.and_then(|serves| serves.container.as_ref());
                let pod_uid = serves.and_then(|serves| serves.pod_uid.as_deref());
                let names = self.directory.names(container, pod_uid);
                self.builder.append(&with_names(with_served(event, serves), &names));
            }
            Body::Publish(publication) => self.push_published(publication, base),
        }
        self.host = host;
        self.seq += 1;
        self.last_boot_ns = row.boot_ns;
        self.kinds[kind as usize] += 1;
    }

    fn push_socket(&mut self, row: &SocketRow, base: Event<'_>, processes: &mut Processes) {
        let local = row.local.endpoint();
        self.local.clear();
        self.remote.clear();
        // Writing to a string cannot fail.
        let _ = local.map(|end| write!(self.local, "{}", end.ip()));
        let _ = row.remote.map(|end| write!(self.remote, "{}", end.ip()));
        let community_id = row.tuple().and_then(community_id);
        let error = row.errno.map(|errno| match errno_name(errno) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("errno {errno}")),
        });
        let netns = self.namespaces.get(&row.netns_cookie).copied();
        let event = Event {
            proto: row.proto.name(),
            direction: row.direction.map(schema::EventDirection::as_str),
            local_addr: local.map(|_| self.local.as_str()),
            remote_addr: row.remote.map(|_| self.remote.as_str()),
            local_port: local.map(schema::Endpoint::port),
            remote_port: row.remote.map(schema::Endpoint::port),
            socket_cookie: known_id(row.socket_cookie),
            netns_cookie: known_id(row.netns_cookie),
            netns,
            v6only: row.v6only,
            community_id: community_id.as_deref(),
            latency_us: row.latency_us,
            retransmits: row.counters.map(|counters| counters.retransmits),
            segs_out: row.counters.map(|counters| counters.segs_out),
            segs_in: row.counters.map(|counters| counters.segs_in),
            bytes_sent: row.counters.map(|counters| counters.bytes_sent),
            bytes_received: row.counters.map(|counters| counters.bytes_received),
            srtt_us: row.counters.map(|counters| counters.srtt_us),
            error: error.as_deref(),
            count: row.count,
            ..base
        };
        let Some(owner) = &row.owner else {
            self.builder.append(&event);
            return;
        };
        let start = row.process.as_ref().and_then(|process| self.start_ts(process));
        let user = self.users.name(owner.uid);
        let who = Who { owner, process: row.process.as_deref(), user: user.as_deref(), start };
        who.append(event, processes, &self.directory, &mut self.builder);
    }

    fn push_published(&mut self, publication: &Publication, base: Event<'_>) {
        let Publication { container, port, netns, removed } = publication;
        let host = port.host.ip().to_string();
        let inside = port.container_addr.map(|addr| addr.to_string());
        let pod = container.pod.as_ref();
        let event = Event {
            proto: port.proto.name(),
            local_addr: Some(&host),
            local_port: Some(port.host.port()),
            nat_dst_addr: inside.as_deref(),
            nat_dst_port: Some(port.container_port),
            netns: *netns,
            container_id: Some(&container.id),
            error: removed.then_some(REMOVED),
            ..base
        };
        self.builder.append(&with_details(event, Some(container), pod));
    }

    fn push_process(&mut self, row: &ProcessRow, base: Event<'_>, processes: &mut Processes) {
        let start = row.process.as_ref().and_then(|process| self.start_ts(process));
        let user = self.users.name(row.owner.uid);
        let process = row.process.as_deref();
        let who = Who { owner: &row.owner, process, user: user.as_deref(), start };
        who.append(base, processes, &self.directory, &mut self.builder);
    }

    /// Start of a process, nanoseconds since 1970.
    fn start_ts(&self, process: &Process) -> Option<i64> {
        let since_boot =
            u128::from(process.start_ticks?) * 1_000_000_000 / u128::from(self.ticks_per_second);
        Some(i64::try_from(since_boot).unwrap_or(i64::MAX).saturating_add(self.start_offset_ns))
    }
}

fn known_id(id: u64) -> Option<u64> {
    (id != 0).then_some(id)
}

/// A process, and what is looked up of it when its row is written.
struct Who<'a> {
    owner: &'a Owner,
    process: Option<&'a Process>,
    user: Option<&'a str>,
    start: Option<i64>,
}

impl Who<'_> {
    /// Adds `event`, told of this process.
    fn append(
        &self,
        event: Event<'_>,
        processes: &mut Processes,
        directory: &Directory,
        builder: &mut BatchBuilder,
    ) {
        let owner = self.owner;
        let hook_name = String::from_utf8_lossy(owner.thread_name());
        let event = Event {
            pid: Some(owner.pid),
            tid: Some(owner.tid),
            uid: Some(owner.uid),
            gid: Some(owner.gid),
            user: self.user,
            cgroup_id: known_id(owner.cgroup_id),
            ..event
        };
        let event = match self.process {
            Some(process) => with_process(event, process, owner, &hook_name, self.start),
            None => with_hook_name(event, owner, &hook_name),
        };
        let membership = match self.process.and_then(|process| process.membership.as_deref()) {
            Some(membership) => Some(membership),
            None => processes.membership(owner.cgroup_id),
        };
        let container = membership.and_then(|membership| membership.container.as_ref());
        let names = match container {
            Some(of) => directory.names(Some(of), of.pod_uid.as_deref()),
            None => Names::default(),
        };
        builder.append(&with_names(with_membership(event, membership), &names));
    }
}

fn with_process<'a>(
    event: Event<'a>,
    process: &'a Process,
    owner: &Owner,
    hook_name: &'a str,
    start_ts: Option<i64>,
) -> Event<'a> {
    // The main thread's name is the process's, and the hook saw it at the very moment.
    let main = owner.tid == owner.pid && !hook_name.is_empty();
    let program = &*process.program;
    let comm = if main { Some(hook_name) } else { program.comm() };
    let thread = (!hook_name.is_empty() && Some(hook_name) != comm).then_some(hook_name);
    let parent = process.parent.as_deref();
    Event {
        comm,
        thread,
        exe: program.exe(),
        cmdline: program.cmdline(),
        start_ts,
        ppid: (process.ppid != 0).then_some(process.ppid),
        parent_uid: parent.map(|parent| parent.uid),
        parent_gid: parent.map(|parent| parent.gid),
        parent_comm: parent.and_then(|parent| parent.program.comm()),
        parent_exe: parent.and_then(|parent| parent.program.exe()),
        ..event
    }
}

/// A process that was gone before it could be looked at: of a thread's name it is not known
/// whether it is the process's.
fn with_hook_name<'a>(event: Event<'a>, owner: &Owner, hook_name: &'a str) -> Event<'a> {
    let name = (!hook_name.is_empty()).then_some(hook_name);
    if owner.tid == owner.pid {
        Event { comm: name, ..event }
    } else {
        Event { thread: name, ..event }
    }
}

fn with_membership<'a>(event: Event<'a>, membership: Option<&'a Membership>) -> Event<'a> {
    let Some(membership) = membership else { return event };
    let container = membership.container.as_ref();
    Event {
        cgroup_path: membership.path.as_deref(),
        container_id: container.map(|container| container.id.as_str()),
        container_runtime: container.and_then(|container| container.runtime),
        pod_uid: container.and_then(|container| container.pod_uid.as_deref()),
        ..event
    }
}

fn with_names<'a>(event: Event<'a>, names: &'a Names) -> Event<'a> {
    with_details(event, names.container(), names.pod())
}

/// What runtimes say; what the path says of the runtime and the pod's id is better known.
fn with_details<'a>(
    event: Event<'a>,
    container: Option<&'a Details>,
    pod: Option<&'a Pod>,
) -> Event<'a> {
    Event {
        container_name: container.and_then(|container| container.name.as_deref()),
        container_image: container.and_then(|container| container.image.as_deref()),
        container_runtime: event
            .container_runtime
            .or_else(|| container.and_then(|container| container.runtime)),
        pod_name: pod.and_then(|pod| pod.name.as_deref()),
        pod_namespace: pod.and_then(|pod| pod.namespace.as_deref()),
        pod_uid: event.pod_uid.or_else(|| pod.and_then(|pod| pod.uid.as_deref())),
        ..event
    }
}

fn with_served<'a>(event: Event<'a>, serves: Option<&'a Serves>) -> Event<'a> {
    let Some(serves) = serves else { return event };
    let container = serves.container.as_ref();
    Event {
        container_id: container.map(|container| container.id.as_str()),
        container_runtime: container.and_then(|container| container.runtime),
        pod_uid: serves.pod_uid.as_deref(),
        ..event
    }
}

#[cfg(test)]
mod tests;
