//! Packets, by libpcap, into a pcapng file: one thread reads each interface, inside the interface's
//! namespace; one writes the file. Independent of the events: either can run without the other.

mod device;
mod file;
mod merge;
mod place;
mod reader;
mod target;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
};

use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use schema::kind::LossStage;

use self::{
    device::{Device, buffer_bytes},
    file::PacketFile,
    reader::Reader,
};
pub use self::{
    file::FirstPackets,
    place::PlaceError,
    target::{NoTarget, Place, Target},
};
use crate::{
    config::PacketsConfig, host::Host, interfaces::Names, loss::Losses, output::OutputError,
    text::Printable,
};

/// Chunks that may wait for the disk, each at most about a MiB. When they do, the kernel's buffers
/// fill up next, and what they have no room for the kernel counts.
const MAX_QUEUE: usize = 64;

/// Why packets can't be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel said no.
    #[error("capturing packets needs root, or CAP_NET_RAW: run it with sudo")]
    NoPrivilege,
    /// It is not known where.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The filter does not compile.
    #[error(
        "the filter `{}` does not fit interface {}: {}; see pcap-filter(7)",
        Printable::text(.filter), Printable::text(.name), Printable::text(.reason)
    )]
    Filter {
        /// The filter.
        filter: String,
        /// The interface it was compiled for: link types differ in what can be asked.
        name: String,
        /// What libpcap said.
        reason: String,
    },
    /// Anything else about an interface.
    #[error(
        "cannot capture on {}: {}; is the interface up?",
        Printable::text(.name), Printable::text(.reason)
    )]
    Interface {
        /// The interface.
        name: String,
        /// What libpcap said.
        reason: String,
    },
    /// The file could not be written.
    #[error("cannot write packets: {source}; free some space or give another place")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be created or given its name.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl From<io::Error> for CaptureError {
    fn from(source: io::Error) -> Self {
        Self::Write { source }
    }
}

/// What was captured on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceCount {
    /// Name; with the namespace, if that is not ours.
    pub name: String,
    /// Packets handed to us.
    pub packets: u64,
    /// Packets the kernel had no room for.
    pub dropped: u64,
    /// Packets the interface itself lost.
    pub interface_dropped: u64,
    /// Why the capture on it came to an end early, if it did: usually the interface is gone.
    pub ended: Option<String>,
}

/// What became of a capture.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Per interface, in the order they were given.
    pub interfaces: Vec<InterfaceCount>,
    /// Size of the file, or of all its parts.
    pub bytes: u64,
    /// Files written one after the other; 0 without rotation.
    pub parts: u32,
    /// What [`Capture::take_ended`] was not asked for any more.
    pub ended: Vec<(String, String)>,
}

/// Shared by the threads of a capture.
#[derive(Debug, Default)]
struct State {
    /// Wall clock of the request to stop, nanoseconds since 1970; 0 while there is none.
    stop_ns: AtomicU64,
    bytes: AtomicU64,
    packets: AtomicU64,
    failed: AtomicBool,
    /// Per interface, what the kernel counted so far.
    counts: Vec<Counts>,
    /// Interfaces that came to an end early: which, and why.
    ended: Mutex<Vec<(String, String)>>,
}

/// What the kernel counted on an interface; see [`reader::Outcome`].
#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    dropped: AtomicU64,
    interface_dropped: AtomicU64,
    /// Packets read that were not written: the disk was full.
    unwritten: AtomicU64,
}

impl Counts {
    fn store(&self, [received, dropped, interface_dropped]: [u64; 3]) {
        self.received.store(received, Ordering::Relaxed);
        self.dropped.store(dropped, Ordering::Relaxed);
        self.interface_dropped.store(interface_dropped, Ordering::Relaxed);
    }

    fn load(&self) -> [u64; 3] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [load(&self.received), load(&self.dropped), load(&self.interface_dropped)]
    }
}

/// Interfaces opened, and buffering, but not read yet.
pub struct Opened {
    devices: Vec<Device>,
    descriptions: Vec<InterfaceDescriptionBlock<'static>>,
}

/// Opens every interface. `names` is asked what containers are called, if that matters.
///
/// # Errors
/// [`CaptureError`]
pub fn open(
    config: &PacketsConfig,
    host: &Host,
    names: impl FnOnce() -> Names,
) -> Result<Opened, CaptureError> {
    let world = place::survey(&config.targets, names);
    let sources = place::resolve(&config.targets, &world)?;
    let buffer = buffer_bytes(sources.len());
    let open = |source: place::Source| {
        let unknown =
            (source.link.is_none() && source.inside.is_none() && source.name != place::ANY)
                .then(|| world.unknown_interface(&source.name));
        Device::open(source, config, buffer).map_err(|error| match (error, unknown) {
            (CaptureError::Interface { .. }, Some(unknown)) => unknown.into(),
            (error, _) => error,
        })
    };
    let devices = sources.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let descriptions = devices.iter().map(|device| device.describe(config, host)).collect();
    Ok(Opened { devices, descriptions })
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    state: Arc<State>,
    readers: Vec<JoinHandle<reader::Outcome>>,
    writer: JoinHandle<Result<PacketFile, CaptureError>>,
    labels: Vec<String>,
}

impl Opened {
    /// Starts reading the interfaces and writing `files`. Drops are counted in `losses` as they
    /// happen.
    ///
    /// # Errors
    /// The file can't be begun, or no thread is to be had.
    pub fn start(
        self,
        files: FirstPackets,
        host: &Host,
        losses: &Arc<Losses>,
    ) -> Result<Capture, CaptureError> {
        let counts = self.devices.iter().map(|_| Counts::default()).collect();
        let state = Arc::new(State { counts, ..State::default() });
        let file = PacketFile::begin(files, host, self.descriptions)?;
        let (chunks, receiver) = sync_channel(MAX_QUEUE);
        let mut readers = vec![];
        let labels = self.devices.iter().map(|device| device.source.label.clone()).collect();
        for (interface, device) in self.devices.into_iter().enumerate() {
            let reader = Reader::new(
                interface,
                device,
                chunks.clone(),
                Arc::clone(&state),
                Arc::clone(losses),
            );
            let builder = thread::Builder::new().name(format!("capture-{interface}"));
            let reader = builder.spawn(move || reader.run());
            readers.push(reader.map_err(|source| CaptureError::Write { source })?);
        }
        let shared = (Arc::clone(&state), Arc::clone(losses));
        let writer = thread::Builder::new()
            .name("packet-file".to_owned())
            .spawn(move || merge::write_all(file, &receiver, &shared.0, &shared.1))
            .map_err(|source| CaptureError::Write { source })?;
        Ok(Capture { state, readers, writer, labels })
    }
}

impl Capture {
    /// Packets read so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.state.packets.load(Ordering::Relaxed)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Whether writing has come to an end early: the disk is full.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.state.failed.load(Ordering::Relaxed)
    }

    /// Whether there is no interface left to read. One that goes away does not end the capture on
    /// the others.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Interfaces that came to an end early since the last call: which, and why.
    #[must_use]
    pub fn take_ended(&self) -> Vec<(String, String)> {
        take_ended(&self.state)
    }

    /// Takes what was captured until now out of the kernel, writes the statistics and gives the
    /// file its name.
    ///
    /// # Errors
    /// The file could not be finished.
    ///
    /// # Panics
    /// If one of the threads did.
    pub fn stop(self) -> Result<Captured, CaptureError> {
        let now = crate::clock::Sample::now().wall_ns().max(1).unsigned_abs();
        self.state.stop_ns.store(now, Ordering::Relaxed);
        let join = |reader: JoinHandle<_>| {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let outcomes: Vec<reader::Outcome> = self.readers.into_iter().map(join).collect();
        let writer = self.writer.join();
        let file = writer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (bytes, parts) = file.finish(&outcomes)?;
        let interfaces = self
            .labels
            .into_iter()
            .zip(outcomes)
            .zip(&self.state.counts)
            .map(|((name, outcome), counts)| InterfaceCount {
                name,
                packets: outcome.packets - counts.unwritten.load(Ordering::Relaxed),
                dropped: outcome.dropped,
                interface_dropped: outcome.interface_dropped,
                ended: outcome.ended,
            })
            .collect();
        let ended = take_ended(&self.state);
        Ok(Captured { interfaces, bytes, parts, ended })
    }
}

fn take_ended(state: &State) -> Vec<(String, String)> {
    std::mem::take(&mut *state.ended.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Counts packets that the kernel, or a full disk, kept from the file.
fn count_lost(losses: &Losses, stage: LossStage, packets: u64) {
    if packets > 0 {
        losses.add(stage, packets);
    }
}
