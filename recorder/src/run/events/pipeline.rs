//! What happens to a record on its way to the file, in order: decoded, given its process, completed
//! by what is known of its socket, held, batched.

mod existing;
mod forward;
mod places;
mod translated;
mod waiting;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use lru::LruCache;
use schema::{
    FiveTuple, Kind,
    kind::LossStage,
    wire::{PeerKey, ProcessRecord, Record},
};

use super::standing::Standing;
use crate::{
    batch::Batcher,
    clock::{Pace, Sample, boot_ns},
    conntrack::Conntrack,
    container::{Container, Directory, LookUp},
    decode::{Decoded, ProcessEvent, decode_process, decode_record},
    hold::{ANSWER_WAIT_NS, Window},
    interfaces::Watch,
    listeners::Listeners,
    lives::Lives,
    loss::Losses,
    namespaces::own_namespace,
    peers::{Peers, key_of},
    process::Processes,
    row::{Body, Owner, ProcessRow, Row, SocketRow, Spare},
    sockets::{Answer, Query, Sockets},
};

/// Errors remembered until the failed connect is reported. Those of established connections are
/// among them and find no row.
const MAX_ERRORS: usize = 4096;
/// Namespaces asked about that may be asked about again.
const MAX_ASKED: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Nanoseconds before a `lost` row that it tells of.
const LOST_NS: u64 = 1_000_000_000;
/// `lost` rows for one loss at most: nobody looks away for a minute.
const MAX_LOST: u64 = 60;
/// Nanoseconds from a row on which it goes to the journal at once: half of what may be lost in a
/// crash, and more than a row is held that waits for nothing, with the time until a batch is due.
const OLD_NS: u64 = 500_000_000;
/// How long an answer about a namespace is waited for before it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Everything between the ring and the file.
pub(super) struct Pipeline {
    processes: Processes,
    lives: Lives,
    listeners: Listeners,
    /// Whether the sockets that were there before are still being listed.
    listing: bool,
    /// Lists under way that tell all open sockets again, for a new part.
    listing_again: u32,
    /// Of these, the ones that were closed before they were told, and when by whom.
    closed_unlisted: HashMap<u64, (u64, Owner)>,
    peers: Peers,
    window: Window,
    spare: Spare,
    /// A record came that something has to be looked up for.
    urgent: bool,
    batcher: Batcher,
    directory: Directory,
    /// `None` where the kernel has no socket diagnosis.
    sockets: Option<Sockets>,
    /// `None` where the kernel does not tell of interfaces.
    interfaces: Option<Watch>,
    /// `None` where the kernel does not tell what it translates.
    conntrack: Option<Conntrack>,
    standing: Standing,
    pace: Pace,
    errors: VecDeque<(u64, FiveTuple, u32)>,
    asked: LruCache<u64, Instant>,
    losses: Arc<Losses>,
}

impl Pipeline {
    pub(super) fn new(
        host: String,
        first: Sample,
        sockets: Option<Sockets>,
        interfaces: Option<Watch>,
        conntrack: Option<Conntrack>,
        directory: Directory,
        losses: Arc<Losses>,
    ) -> Self {
        let mut pipeline = Self {
            processes: Processes::default(),
            lives: Lives::default(),
            listeners: Listeners::default(),
            listing: false,
            listing_again: 0,
            closed_unlisted: HashMap::new(),
            peers: Peers::default(),
            window: Window::default(),
            spare: Spare::default(),
            urgent: false,
            batcher: Batcher::new(host, first, directory.clone()),
            directory,
            sockets,
            interfaces,
            conntrack,
            standing: Standing::default(),
            pace: Pace::default(),
            errors: VecDeque::new(),
            asked: LruCache::new(MAX_ASKED),
            losses,
        };
        if let (Some(cookie), Some(inode)) = own_namespace() {
            pipeline.batcher.set_namespace(cookie, inode);
        }
        pipeline.observe_clock(first);
        pipeline
    }

    /// Whether processes can be looked up.
    pub(super) fn sees_processes(&self) -> bool {
        self.processes.usable()
    }

    /// From now on records tell of every new process and every new program.
    pub(super) fn trust_process_records(&mut self) {
        self.processes.trust_events();
    }

    /// Some records were lost, of which some may have told of processes.
    pub(super) fn distrust_processes(&mut self) {
        self.processes.distrust();
    }

    /// There is a cgroup with this id and path.
    pub(super) fn learn_cgroup(&mut self, id: u64, path: &str) {
        self.processes.learn_cgroup(id, path);
    }

    /// Reports the clock's offset, if it is time.
    pub(super) fn observe_clock(&mut self, sample: Sample) {
        if self.pace.is_due(sample) {
            let row = Row { boot_ns: sample.boot_ns, body: Body::Clock(sample.offset_ns) };
            self.window.push(row, None);
        }
    }

    /// Reports a loss between these two moments, `CLOCK_BOOTTIME` nanoseconds. A row tells of the second
    /// before it, so a longer time takes several.
    pub(super) fn add_loss(&mut self, stage: LossStage, count: u64, (from, to): (u64, u64)) {
        let span = to.saturating_sub(from);
        let rows = span.div_ceil(LOST_NS).clamp(1, MAX_LOST);
        for row in 1..=rows {
            let share = count / rows + if row == rows { count % rows } else { 0 };
            let boot_ns = to - (rows - row) * (span / rows);
            self.window.push(Row { boot_ns, body: Body::Lost(stage, share) }, None);
        }
    }

    fn push(&mut self, body: Body) {
        self.window.push(Row { boot_ns: boot_ns(), body }, None);
    }

    /// Takes a ring record. Returns the cookie of a UDP socket that was closed and has peers in
    /// the table.
    pub(super) fn on_record(&mut self, bytes: &[u8]) -> Option<u64> {
        if ProcessRecord::is_tagged(bytes) {
            self.on_process(bytes);
            return None;
        }
        let record = Record::from_bytes(bytes);
        let spare = &mut self.spare;
        let decoded = record.and_then(|record| Some((record, decode_record(&record, spare)?)));
        let Some((record, decoded)) = decoded else {
            // Not of this build's kernel programs: nothing can be said about what it meant.
            self.losses.add(LossStage::Ring, 1);
            return None;
        };
        match decoded {
            Decoded::Row(row) => return self.on_row(row, &record),
            Decoded::Release { boot_ns, socket_cookie, closer } => {
                let process = self.processes.get(&closer);
                if let Some(row) = self.lives.release(boot_ns, socket_cookie, closer, process) {
                    self.window.push(row, None);
                }
            }
            Decoded::OlderRelease { boot_ns, socket_cookie, closer } => {
                self.on_older_release(boot_ns, socket_cookie, closer);
            }
            Decoded::Read { boot_ns, socket_cookie, reader, read_before } => {
                if self.lives.knows(socket_cookie) {
                    let process = self.processes.get(&reader);
                    let row = self.lives.read(boot_ns, socket_cookie, reader, read_before, process);
                    if let Some(row) = row {
                        self.window.push(row, None);
                    }
                }
            }
            Decoded::Forward { boot_ns, sockets, forwarder } => {
                self.on_forward(boot_ns, sockets, forwarder);
            }
            Decoded::Error { boot_ns, tuple, errno } => self.on_error(boot_ns, tuple, errno),
        }
        None
    }

    /// Whether a record came, since this was last asked, that something has to be looked up for
    /// which may soon be gone: a process, a UDP socket's port.
    pub(super) fn take_urgent(&mut self) -> bool {
        std::mem::take(&mut self.urgent)
    }

    fn on_process(&mut self, bytes: &[u8]) {
        let Some(event) = decode_process(bytes) else {
            self.losses.add(LossStage::Ring, 1);
            return;
        };
        let (kind, boot_ns, owner) = match event {
            ProcessEvent::Fork { .. } => {
                self.processes.note(&event);
                return;
            }
            ProcessEvent::Exec { boot_ns, owner, .. } => {
                self.urgent = true;
                (Kind::Exec, boot_ns, owner)
            }
            ProcessEvent::Exit { boot_ns, owner } => (Kind::Exit, boot_ns, owner),
        };
        let process = self.processes.note(&event);
        let body = Body::Process(Box::new(ProcessRow { kind, owner, process }));
        self.window.push(Row { boot_ns, body }, None);
    }

    fn on_row(&mut self, row: Row, record: &Record) -> Option<u64> {
        let Row { boot_ns, body: Body::Socket(mut socket) } = row else { return None };
        if matches!(socket.kind, Kind::UdpSend | Kind::UdpRecv) {
            // `None`: the table was read first, and the datagram is reported already.
            let due = self.peers.count(&key_of(record), record.count)?;
            socket.count = Some(due.count);
            socket.direction = Some(due.direction);
        }
        self.urgent |= socket.kind == Kind::UdpConnect;
        if socket.kind == Kind::TcpAccept && socket.owner.is_none() && !self.listing {
            self.listeners.complete(&mut socket);
        }
        self.add_process(&mut socket);
        self.lives.note(&mut socket);
        let closed = (socket.kind == Kind::UdpClose).then_some(socket.socket_cookie);
        let wait = self.what_it_waits_for(&mut socket);
        self.window.push(Row { boot_ns, body: Body::Socket(socket) }, wait);
        closed.filter(|&cookie| !self.peers.of_socket(cookie).is_empty())
    }

    fn add_process(&mut self, row: &mut SocketRow) {
        let Some(owner) = row.owner else { return };
        // A socket's process does not change while it lives; it may be gone by now.
        let opens = matches!(row.kind, Kind::TcpConnect | Kind::TcpListen | Kind::TcpAccept);
        let known = if opens { None } else { self.lives.process(row.socket_cookie, owner.pid) };
        row.process = known.or_else(|| self.processes.get(&owner));
        self.ask_for_namespace(row.netns_cookie, owner.pid);
        // The sooner it is asked for, the less the row has to wait.
        if let Some(container) = row.process.as_ref().and_then(|process| process.container()) {
            let _ = self.directory.look_up(&container.id);
        }
    }

    fn ask_for_namespace(&mut self, netns_cookie: u64, pid: u32) {
        if netns_cookie == 0 || self.batcher.knows_namespace(netns_cookie) {
            return;
        }
        if self.asked.get(&netns_cookie).is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return;
        }
        self.asked.put(netns_cookie, Instant::now());
        if let Some(sockets) = &self.sockets {
            sockets.ask(Query::Namespace { netns_cookie, pid });
        }
    }

    /// Reports the datagrams of a peer that no row has reported yet.
    pub(super) fn on_peer(&mut self, key: &PeerKey, record: &Record) {
        let Some(due) = self.peers.count(key, record.count) else { return };
        let Some(Decoded::Row(Row { boot_ns, body: Body::Socket(mut socket) })) =
            decode_record(record, &mut self.spare)
        else {
            return;
        };
        socket.count = Some(due.count);
        socket.direction = Some(due.direction);
        self.add_process(&mut socket);
        self.window.push(Row { boot_ns, body: Body::Socket(socket) }, None);
    }

    /// The peers of a UDP socket.
    pub(super) fn peers_of(&self, cookie: u64) -> Vec<PeerKey> {
        self.peers.of_socket(cookie)
    }

    /// The peer was removed from the table.
    pub(super) fn forget_peer(&mut self, key: &PeerKey) {
        self.peers.forget(key);
    }

    /// What was found out about sockets.
    pub(super) fn take_answers(&self) -> Vec<Answer> {
        self.sockets.iter().flat_map(Sockets::answers).collect()
    }

    /// Whether what was there at the start is still being looked at.
    pub(super) fn is_looking(&self) -> bool {
        self.listing
            || !self.directory.is_settled()
            || self.interfaces.as_ref().is_some_and(|watch| !watch.has_told_all())
            || self.is_reading_translations()
    }

    /// Whether some row waits for something, or the recording as a whole does.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_looking()
            || self.listing_again > 0
            || self.window.is_waiting()
            || self.directory.is_waiting()
    }

    /// Moves rows that were held long enough into the batch.
    pub(super) fn release(&mut self) {
        let now = boot_ns();
        let Self { window, batcher, processes, directory, spare, .. } = self;
        let named = |row: &Row, processes: &mut Processes| {
            let container = container_of(row, processes);
            now >= row.boot_ns.saturating_add(ANSWER_WAIT_NS)
                || container.is_none_or(|of| directory.look_up(&of.id) != LookUp::Pending)
        };
        while batcher.len() < super::BATCH_ROWS
            && let Some(row) = window.pop_if(now, |row| named(row, processes))
        {
            batcher.push(&row, processes);
            spare.keep(row);
        }
    }

    /// Whether a batch is due before its time: it is full, or has rows that were kept for long by
    /// what they waited for, and must not wait for other rows too.
    pub(super) fn is_batch_due(&self) -> bool {
        let is_old = |first: u64| boot_ns().saturating_sub(first) >= OLD_NS;
        self.batched() >= super::BATCH_ROWS || self.batcher.first_boot_ns().is_some_and(is_old)
    }

    /// Rows in the batch.
    pub(super) fn batched(&self) -> usize {
        self.batcher.len()
    }

    /// The batch, unless it is empty.
    pub(super) fn take_batch(&mut self) -> Option<RecordBatch> {
        (!self.batcher.is_empty()).then(|| self.batcher.take())
    }

    /// Rows given to the file so far.
    pub(super) fn rows(&self) -> u64 {
        self.batcher.rows()
    }

    /// Lets go of every row held, a last one for the clock included.
    pub(super) fn finish(&mut self, end: Sample) {
        let row = Row { boot_ns: end.boot_ns, body: Body::Clock(end.offset_ns) };
        self.window.push(row, None);
        while let Some(row) = self.window.take_first() {
            self.batcher.push(&row, &mut self.processes);
        }
    }
}

/// The container a row tells of, if any.
fn container_of<'a>(row: &'a Row, processes: &'a mut Processes) -> Option<&'a Container> {
    let (owner, process) = match &row.body {
        Body::Socket(row) => (row.owner.as_ref(), row.process.as_ref()),
        Body::Process(row) => (Some(&row.owner), row.process.as_ref()),
        Body::Interface(interface) => return interface.serves.as_ref()?.container.as_ref(),
        Body::Publish(_) | Body::Translated(_) | Body::Clock(_) | Body::Lost(..) => return None,
    };
    match process.and_then(|process| process.membership.as_ref()) {
        Some(membership) => membership.container.as_ref(),
        None => processes.membership(owner?.cgroup_id)?.container.as_ref(),
    }
}
