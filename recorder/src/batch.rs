//! Rows to record batches: gives every row its number, its wall clock and its text.

mod memo;
mod translated;
mod who;

use std::{borrow::Cow, fmt::Write as _, net::IpAddr, num::NonZeroUsize, sync::Arc};

use arrow_array::RecordBatch;
use lru::LruCache;
use schema::{
    Endpoint, Event, FiveTuple, FlowKey, Kind, Source, batch::BatchBuilder,
    community_id::community_id,
};

use self::{
    memo::Memo,
    who::{Who, describe_container, describe_served},
};

use crate::{
    clock::{Offsets, Sample},
    container::{Directory, Publication},
    errno::errno_name,
    interfaces::Interface,
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
    host: Arc<str>,
    seq: u64,
    last_boot_ns: u64,
    /// Of the first row since the last batch.
    first_boot_ns: u64,
    offsets: Offsets,
    /// Offset that gives process start times; one for the whole recording, so that one process has
    /// one start time even if the clock is set.
    start_offset_ns: i64,
    ticks_per_second: u64,
    users: Users,
    directory: Directory,
    namespaces: LruCache<u64, u64>,
    texts: Texts,
}

/// Texts of rows that look alike.
#[derive(Debug, Default)]
struct Texts {
    local: Memo<IpAddr>,
    remote: Memo<IpAddr>,
    flow: Memo<FlowKey>,
}

impl Batcher {
    /// For a recording on this host that starts at `start`, with the names of its containers.
    #[must_use]
    pub fn new(host: String, start: Sample, directory: Directory) -> Self {
        Self {
            builder: BatchBuilder::default(),
            host: host.into(),
            seq: 0,
            last_boot_ns: start.boot_ns,
            first_boot_ns: start.boot_ns,
            offsets: Offsets::new(start),
            start_offset_ns: start.offset_ns,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            users: Users::new("/etc/passwd".into()),
            directory,
            namespaces: LruCache::new(MAX_NAMESPACES),
            texts: Texts::default(),
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

    /// The time of the first row since the last batch, if there is one, likewise.
    #[must_use]
    pub fn first_boot_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.first_boot_ns)
    }

    /// The offset of the wall clock that rows of this time are given, nanoseconds.
    #[must_use]
    pub fn offset_ns(&self, boot_ns: u64) -> i64 {
        self.offsets.wall_ns(boot_ns).saturating_sub(boot_ns.cast_signed())
    }

    /// Rows given so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.seq
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
        if self.is_empty() {
            self.first_boot_ns = row.boot_ns;
        }
        if let Body::Clock(offset_ns) = row.body {
            self.offsets.push(Sample { boot_ns: row.boot_ns, offset_ns });
        }
        let kind = row.body.kind();
        let source = match &row.body {
            Body::Socket(socket) if socket.kind != Kind::Socket => Source::Probe,
            Body::Process(_) => Source::Probe,
            Body::Socket(_) | Body::Interface(_) => Source::Snapshot,
            Body::Publish(_) => Source::Runtime,
            Body::Translated(_) => Source::Conntrack,
            Body::Clock(_) | Body::Lost(..) => Source::Recorder,
        };
        let host = Arc::clone(&self.host);
        let mut event = Event {
            ts: self.offsets.wall_ns(row.boot_ns),
            boot_ns: row.boot_ns,
            host: &host,
            kind: kind.as_str(),
            seq: self.seq,
            source: source.as_str(),
            ..Event::default()
        };
        match &row.body {
            Body::Socket(socket) => self.push_socket(socket, event, processes),
            Body::Process(process) => {
                let ProcessRow { owner, process, .. } = &**process;
                self.push_of(owner, process.as_deref(), event, processes);
            }
            Body::Clock(offset_ns) => {
                event.mono_offset_ns = Some(*offset_ns);
                self.builder.append(&event);
            }
            Body::Lost(stage, count) => {
                event.error = Some(stage.as_str());
                event.count = Some(*count);
                self.builder.append(&event);
            }
            Body::Interface(interface) => self.push_interface(interface, event),
            Body::Publish(publication) => self.push_published(publication, event),
            Body::Translated(told) => self.push_translated(told, event),
        }
        self.seq += 1;
        self.last_boot_ns = row.boot_ns;
    }

    fn push_interface(&mut self, interface: &Interface, event: Event<'_>) {
        // Borrows from here on, too.
        let mut event: Event<'_> = event;
        let address = interface.address.map(|address| address.to_canonical().to_string());
        event.local_addr = address.as_deref();
        event.ifname = Some(&interface.name);
        event.ifindex = Some(interface.index);
        event.mac = interface.mac.as_deref();
        event.netns = Some(interface.netns);
        event.netns_cookie = interface.netns_cookie;
        event.peer_ifindex = interface.peer.map(|peer| peer.index);
        event.peer_netns = interface.peer.and_then(|peer| peer.netns);
        event.error = interface.removed.then_some(REMOVED);
        let names = interface.serves.as_ref().map(|serves| {
            self.directory.names(serves.container.as_ref(), serves.pod_uid.as_deref())
        });
        if let (Some(serves), Some(names)) = (&interface.serves, &names) {
            describe_served(serves, names, &mut event);
        }
        self.builder.append(&event);
    }

    fn push_published(&mut self, publication: &Publication, event: Event<'_>) {
        let mut event: Event<'_> = event;
        let Publication { container, port, netns, removed } = publication;
        let host = port.host.ip().to_string();
        let inside = port.container_addr.map(|addr| addr.to_string());
        event.proto = port.proto.name();
        event.local_addr = Some(&host);
        event.local_port = Some(port.host.port());
        event.nat_dst_addr = inside.as_deref();
        event.nat_dst_port = Some(port.container_port);
        event.netns = *netns;
        event.container_id = Some(&container.id);
        event.error = removed.then_some(REMOVED);
        describe_container(Some(container), container.pod.as_ref(), &mut event);
        self.builder.append(&event);
    }

    fn push_socket(&mut self, row: &SocketRow, event: Event<'_>, processes: &mut Processes) {
        let mut event: Event<'_> = event;
        let mut texts = std::mem::take(&mut self.texts);
        let local = row.local.endpoint();
        let error = row.errno.map(|errno| match errno_name(errno) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("errno {errno}")),
        });
        event.proto = row.proto.name();
        event.direction = row.direction.map(schema::EventDirection::as_str);
        event.local_addr = local.map(|end| address(&mut texts.local, end));
        event.local_port = local.map(schema::Endpoint::port);
        event.remote_addr = row.remote.map(|end| address(&mut texts.remote, end));
        event.remote_port = row.remote.map(schema::Endpoint::port);
        event.socket_cookie = known_id(row.socket_cookie);
        event.peer_cookie = known_id(row.peer_cookie);
        event.netns_cookie = known_id(row.netns_cookie);
        event.netns = self.namespaces.get(&row.netns_cookie).copied();
        event.v6only = row.v6only;
        event.community_id = row.tuple().and_then(|tuple| flow(&mut texts.flow, tuple));
        event.latency_us = row.latency_us;
        if let Some(counters) = &row.counters {
            event.retransmits = Some(counters.retransmits);
            event.segs_out = Some(counters.segs_out);
            event.segs_in = Some(counters.segs_in);
            event.bytes_sent = Some(counters.bytes_sent);
            event.bytes_received = Some(counters.bytes_received);
            event.srtt_us = Some(counters.srtt_us);
        }
        event.error = error.as_deref();
        event.count = row.count;
        match &row.owner {
            Some(owner) => self.push_of(owner, row.process.as_deref(), event, processes),
            None => self.builder.append(&event),
        }
        self.texts = texts;
    }

    /// Adds `event`, told of this process.
    fn push_of(
        &mut self,
        owner: &Owner,
        process: Option<&Process>,
        event: Event<'_>,
        processes: &mut Processes,
    ) {
        let mut event: Event<'_> = event;
        let user = self.users.name(owner.uid);
        let membership = process.and_then(|process| process.membership.as_deref());
        let membership = membership.or_else(|| processes.membership(owner.cgroup_id));
        let container = membership.and_then(|membership| membership.container.as_ref());
        // Most rows are of processes in none, and asking takes a lock.
        let names = container.map(|of| self.directory.names(Some(of), of.pod_uid.as_deref()));
        let who = Who {
            owner,
            hook_name: String::from_utf8_lossy(owner.thread_name()),
            process,
            user: user.as_deref(),
            start: process.and_then(|process| self.start_ts(process)),
            membership,
            names: names.as_ref(),
        };
        who.describe(&mut event);
        self.builder.append(&event);
    }

    /// Start of a process, nanoseconds since 1970.
    fn start_ts(&self, process: &Process) -> Option<i64> {
        let since_boot =
            u128::from(process.start_ticks?) * 1_000_000_000 / u128::from(self.ticks_per_second);
        Some(i64::try_from(since_boot).unwrap_or(i64::MAX).saturating_add(self.start_offset_ns))
    }
}

fn address(texts: &mut Memo<IpAddr>, end: Endpoint) -> &str {
    let ip = end.ip();
    // Writing to a string cannot fail.
    texts.get(ip, |text| write!(text, "{ip}").unwrap_or_default())
}

fn flow(texts: &mut Memo<FlowKey>, tuple: FiveTuple) -> Option<&str> {
    let text = texts.get(tuple.canonical().0, |text| {
        text.push_str(&community_id(tuple).unwrap_or_default());
    });
    (!text.is_empty()).then_some(text)
}

fn known_id(id: u64) -> Option<u64> {
    (id != 0).then_some(id)
}

#[cfg(test)]
mod tests;
