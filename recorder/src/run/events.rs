//! The event loop: reads the ring, adds what is known, holds rows for a moment, hands batches to
//! the file.

mod finish;
mod nap;
mod pipeline;
mod standing;
mod sweep;

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use schema::meta::FileMeta;

use self::{nap::Naps, pipeline::Pipeline};
use super::say;
use crate::{
    check,
    clock::{Sample, StepWatch, rfc3339},
    config::RecordConfig,
    conntrack::{self, BUFFER_BYTES, Conntrack},
    container::{CgroupTree, Directory},
    host::Host,
    interfaces::Watch,
    load::{Hook, LoadOptions, Probes, Reader, Ring, load},
    loss::{Losses, Rise},
    niceness::Niceness,
    parquet::{EventFile, FileSize, FirstPart, Written},
    privileges::{self, Work},
    sockets::Sockets,
};

/// How long the ring is left alone when nothing is in it: as long as a row is held.
const IDLE: Duration = Duration::from_millis(100);
/// How long after a record the ring is looked into again and again. The wake-up that the next
/// record then does not need would cost the workload more than a look costs us.
const LINGER: Duration = Duration::from_millis(12);
/// How long the ring is read before other things have their turn.
const READ_FOR: Duration = Duration::from_millis(50);
/// Records at once that mean the loop is late: an eighth of what the default ring holds.
const LATE_RECORDS: usize = 6000;
/// Time beyond what a nap should have taken that means the loop is late.
const LATE: Duration = Duration::from_millis(50);
/// How often rows go to the file.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Rows of a batch at most.
const BATCH_ROWS: usize = 8192;
/// How often counters are looked at, and the peer table is walked: a `lost` row tells of the second
/// before it, and the loop may be late.
const SWEEP_EVERY: Duration = Duration::from_millis(800);
/// How long, at the start, interfaces and existing sockets may take to be looked at before it is
/// said that the recording runs; what is not told by then is told later.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The running event loop.
pub(super) struct Events {
    thread: JoinHandle<anyhow::Result<Ended>>,
    stop: Arc<OwnedFd>,
    rows: Arc<AtomicU64>,
    size: FileSize,
}

/// What the loop leaves behind.
struct Ended {
    file: EventFile,
    end: Sample,
}

impl Events {
    /// Attaches the kernel programs and starts reading.
    pub(super) fn start(
        file: FirstPart,
        host: &Host,
        config: &RecordConfig,
        directory: Directory,
        losses: Arc<Losses>,
    ) -> anyhow::Result<Self> {
        // Before anything is attached: the wall clock of the first events comes from here.
        let first = Sample::now();
        let sockets = Sockets::start();
        if let (Err(error), false) = (&sockets, config.quiet) {
            say(&format!("ebpfrec: not recorded here: ports of connected UDP sockets ({error})\n"));
        }
        // Without them the joiner knows less about whose address is whose, and says so.
        let interfaces = Watch::start(Arc::clone(&losses)).ok();
        let (conntrack, refused) = Conntrack::start(Arc::clone(&losses), BUFFER_BYTES)
            .map_or_else(|error| (None, Some(error)), |conntrack| (Some(conntrack), None));
        let step_watch = StepWatch::new().context("cannot watch the clock; try again")?;
        let mut probes =
            load(&LoadOptions { ring_bytes: config.ring_bytes, forwarders: &config.forwarders })?;
        let missing: Vec<_> = probes.missing_required().map(|hook| hook.name).collect();
        anyhow::ensure!(
            missing.is_empty(),
            "this kernel does not take {}: run `ebpfrec check` to see why",
            missing.join(", ")
        );
        let mut hooks = probes.hooks().to_vec();
        hooks.push(conntrack::hook(refused.as_ref()));
        if !config.quiet {
            say_missing(&hooks);
        }
        let ring = probes.take_ring();
        let started = Sample::now();
        let meta = FileMeta {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: host.kernel.clone(),
            host: host.name.clone(),
            boot_id: host.boot_id.clone(),
            start: rfc3339(started.wall_ns()),
            hooks: check::hooks_json(&hooks).to_string(),
            recording: new_id(),
            ..FileMeta::default()
        };
        // `recover` may be called from another folder.
        let packets = config.packets.as_ref().map(|packets| &packets.path);
        let packets = packets.and_then(|path| std::path::absolute(path).ok());
        let file = EventFile::start(file, meta, packets, Arc::clone(&losses))?;
        let rows = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let size = file.size();
        let mut pipeline = Pipeline::new(
            host.name.clone(),
            first,
            sockets.ok(),
            interfaces,
            conntrack,
            directory,
            Arc::clone(&losses),
        );
        if !pipeline.sees_processes() && !config.quiet {
            say("ebpfrec: running in a pid namespace of its own: events name processes by number \
                 only; run on the host to get names\n");
        }
        let tells_processes = probes.tell_processes();
        if tells_processes {
            pipeline.trust_process_records();
        }
        pipeline.list_existing();
        // Where it can't end a nap, it is read a little later.
        let cgroups = CgroupTree::watch().inspect(|cgroups| drop(ring.heed(cgroups)));
        let (ready, looked) = sync_channel(1);
        let worker = Loop {
            probes,
            ring,
            pipeline,
            file,
            losses,
            step_watch,
            cgroups,
            stop: Arc::clone(&stop),
            ready: Some(ready),
            rows: Arc::clone(&rows),
            read_at: Instant::now(),
            naps: Naps::new(tells_processes),
            niceness: Niceness::default(),
            swept_ns: first.boot_ns,
            seen: [Rise::default(); 4],
            has_lost: false,
            listed_at: Instant::now(),
            reported: [Rise::default(); crate::loss::STAGES],
        };
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || worker.run())
            .context("cannot start a thread; raise the limit of processes")?;
        // On a very busy host it may take longer, and goes on while recording.
        let _ = looked.recv_timeout(FIRST_LOOK);
        Ok(Self { thread, stop, rows, size })
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Size of the file so far.
    pub(super) fn bytes(&self) -> u64 {
        self.size.bytes()
    }

    /// Whether the loop has come to an end early.
    pub(super) fn has_stopped(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the loop and finishes the file. `clean` is whether the recording ends because it was
    /// told to.
    pub(super) fn finish(self, clean: bool) -> anyhow::Result<Written> {
        // Fails only if it was woken 2^64 times over.
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        let ended = self.thread.join();
        let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(ended.file.finish(ended.end, clean)?)
    }
}

/// Says what is lost without the hooks that are missing, each loss once.
fn say_missing(hooks: &[Hook]) {
    let mut said: Vec<&str> = vec![];
    for hook in hooks.iter().filter(|hook| !hook.status.is_attached()) {
        if !said.contains(&hook.loses) {
            said.push(hook.loses);
            say(&format!("ebpfrec: not recorded here: {}\n", hook.loses));
        }
    }
}

/// An id that no other recording has.
fn new_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    id.trim().to_owned()
}

struct Loop {
    probes: Probes,
    ring: Ring,
    pipeline: Pipeline,
    file: EventFile,
    losses: Arc<Losses>,
    step_watch: StepWatch,
    /// `None` where there is none to be watched.
    cgroups: Option<CgroupTree>,
    stop: Arc<OwnedFd>,
    /// To be told once what was there at the start has been looked at.
    ready: Option<SyncSender<()>>,
    rows: Arc<AtomicU64>,
    /// When something was last in the ring.
    read_at: Instant,
    naps: Naps,
    niceness: Niceness,
    /// When counters were last looked at, `CLOCK_BOOTTIME` nanoseconds.
    swept_ns: u64,
    /// The kernel programs' own counters.
    seen: [Rise; 4],
    /// Whether rows were lost since the open sockets were last listed, and when that was.
    has_lost: bool,
    listed_at: Instant,
    /// What `lost` rows have told of each stage.
    reported: [Rise; crate::loss::STAGES],
}

impl Loop {
    fn run(mut self) -> anyhow::Result<Ended> {
        // Where `/proc` alone tells of processes, what has to be looked up may be gone in a
        // millisecond, and on a busy host others would keep the loop waiting for longer.
        let hurries = self.naps.are_short();
        self.niceness = if hurries { Niceness::hurry() } else { Niceness::give_way() };
        // What came while the programs were attached has waited, and is not on the disk.
        self.niceness.heed(true);
        privileges::enter(Work::Events);
        let mut flush_at = Instant::now() + FLUSH_EVERY;
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        while !self.wait() && !self.file.has_stopped() {
            // A clock that was set shows in the next sample, which is taken right here.
            let _ = self.step_watch.rearm();
            self.pipeline.observe_clock(Sample::now());
            self.read();
            let now = Instant::now();
            if now >= sweep_at {
                self.sweep(false);
                sweep_at = now + SWEEP_EVERY;
            }
            self.pipeline.release();
            if now >= flush_at || self.pipeline.is_batch_due() {
                self.flush();
                flush_at = now + FLUSH_EVERY;
            }
        }
        Ok(self.end())
    }

    /// Waits for records; true when it is time to stop.
    fn wait(&mut self) -> bool {
        let lingers = self.read_at.elapsed() < LINGER;
        let (wait, wake) = if !lingers {
            self.ring.tell(Reader::Asleep);
            (IDLE, PollFlags::IN)
        } else if self.naps.are_quiet() {
            self.nap(self.naps.while_busy());
            (Duration::ZERO, PollFlags::empty())
        } else {
            self.ring.tell(Reader::Awake);
            (self.naps.while_busy(), PollFlags::empty())
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let cgroups = self.cgroups.as_ref().map_or(self.stop.as_fd(), CgroupTree::as_fd);
        let mut sources = [
            PollFd::from_borrowed_fd(self.ring.as_fd(), wake),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.step_watch.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(cgroups, PollFlags::IN),
        ];
        let begin = Instant::now();
        // An interrupted wait is a short one.
        let _ = poll(&mut sources, Some(&timeout));
        self.niceness.heed(begin.elapsed() >= wait + LATE);
        !sources[1].revents().is_empty()
    }

    /// Leaves the ring alone for so long, or until something has to be looked up.
    fn nap(&mut self, nap: Duration) {
        let begin = Instant::now();
        if self.naps.are_quiet() {
            self.ring.tell(Reader::Napping);
            self.ring.nap(nap);
        } else {
            self.ring.tell(Reader::Awake);
            thread::sleep(nap);
        }
        self.niceness.heed(begin.elapsed() >= nap + LATE);
    }

    /// Takes what is in the ring, and what was found out about sockets. Answers first: whatever
    /// they are about is in the ring by then.
    fn read(&mut self) {
        let answers = self.pipeline.take_answers();
        let until = Instant::now() + READ_FOR;
        loop {
            let mut bytes_of = vec![];
            let Self { ring, pipeline, cgroups, .. } = self;
            // Before the processes in them.
            if let Some(cgroups) = cgroups {
                cgroups.read(|id, path| pipeline.learn_cgroup(id, path));
            }
            let read = ring.drain(|bytes| {
                if let Some(cookie) = pipeline.on_record(bytes) {
                    bytes_of.push(cookie);
                }
            });
            for cookie in bytes_of {
                self.flush_peers(cookie);
            }
            if read == 0 {
                break;
            }
            if read >= LATE_RECORDS {
                self.niceness.heed(true);
            }
            self.read_at = Instant::now();
            if self.pipeline.take_urgent() {
                self.naps.be_alert();
            }
            if self.read_at >= until || self.pipeline.batched() >= BATCH_ROWS {
                break;
            }
            self.pipeline.release();
            self.nap(self.naps.after(read));
        }
        self.pipeline.apply(answers);
        self.pipeline.take_interfaces();
        self.pipeline.take_translations();
        self.pipeline.take_publications();
        if !self.pipeline.is_looking()
            && let Some(ready) = self.ready.take()
        {
            // Who waited may have given up.
            let _ = ready.try_send(());
        }
    }

    fn flush(&mut self) {
        loop {
            let full = self.pipeline.batched() >= BATCH_ROWS;
            if let Some(batch) = self.pipeline.take_batch() {
                self.file.send(batch);
            }
            if !full {
                break;
            }
            self.pipeline.release();
        }
        self.rows.store(self.pipeline.rows(), Ordering::Relaxed);
        if self.file.cut_if_due(Sample::now()) {
            self.pipeline.begin_part();
        }
    }
}
