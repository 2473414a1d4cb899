//! A recording from start to end.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Exit, NO_THREAD, events::Events, names, print, report, say, stop::Stop};
use crate::{
    capture::{self, Capture, FirstPackets},
    config::RecordConfig,
    container::Directory,
    host::Host,
    loss::Losses,
    parquet::FirstPart,
    privileges::{self, Work},
    recover::{RecoverError, recover},
    rotate::{self, Series, State},
    status::{Figures, Status},
    summary::{EventsSummary, PacketsSummary, Summary},
    text::Printable,
};

/// How a recording came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Told,
    /// Nothing more can be written.
    DiskFull,
    /// Only packets were recorded, and no interface is left.
    NoInterface,
}

/// How often it is looked whether everything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Records, and prints the summary.
pub(super) fn run(config: &RecordConfig) -> anyhow::Result<Exit> {
    let host = Host::this();
    let losses = Arc::new(Losses::default());
    // Whatever can be refused is tried before anything is attached.
    let series = |path: &Path| {
        recover_parts(path, config);
        Series::new(path, config.rotation)
    };
    let event_file =
        config.events.as_deref().map(|path| FirstPart::create(series(path)?)).transpose()?;
    let packets = config.packets.as_ref().map(|packets| packets.path.as_path());
    let packet_file = packets.map(|path| FirstPackets::create(series(path)?)).transpose()?;
    let mut stop = Stop::install().context("cannot listen for signals; try again")?;
    let directory = Directory::start(config.runtimes.clone()).context(NO_THREAD)?;
    let opened = config
        .packets
        .as_ref()
        .map(|packets| capture::open(packets, &host, || names(&directory)))
        .transpose()?;
    let events = event_file
        .map(|file| Events::start(file, &host, config, directory, Arc::clone(&losses)))
        .transpose()?;
    let capture = match (opened, packet_file) {
        (Some(opened), Some(file)) => Some(opened.start(file, &host, &losses)?),
        _ => None,
    };
    privileges::keep(Work::Main).context("cannot give up privileges; report this kernel")?;
    say("ebpfrec: recording\n");
    let start = Instant::now();
    stop.after(config.duration);
    let mut running = Running { events, capture, losses, status: Status::new(config.quiet) };
    let end = running.wait(&stop);
    let elapsed = start.elapsed();
    running.report_ended();
    running.status.clear();
    let (summary, errors) = running.finish(config, elapsed, end);
    if !config.quiet {
        say(&summary.table());
    }
    for error in &errors {
        report(error);
    }
    if config.json {
        let json = serde_json::to_string(&summary).context("cannot write the summary")?;
        print(&(json + "\n"))?;
    }
    Ok(if summary.complete { Exit::Success } else { Exit::Error })
}

/// Finishes the parts that an earlier recording to `path` left: the new one goes on behind them,
/// and nobody may be there to do it.
fn recover_parts(path: &Path, config: &RecordConfig) {
    let parts =
        if config.rotation.is_on() { rotate::list(path).unwrap_or_default() } else { vec![] };
    for part in parts.iter().filter(|part| part.state == State::Partial) {
        match recover(&part.path) {
            Ok((recovered, _)) if !config.quiet => {
                say(&format!("ebpfrec: recovered {}", recovered.line()));
            }
            // Of one that is being written, its lock tells soon.
            Ok(_) | Err(RecoverError::Running { .. }) => {}
            // It stays as it is, and is in nobody's way.
            Err(error) => report(&error.into()),
        }
    }
}

fn say_ended((interface, reason): &(String, String)) {
    let (interface, reason) = (Printable::text(interface), Printable::text(reason));
    say(&format!("ebpfrec: no more packets from {interface}: {reason}\n"));
}

struct Running {
    events: Option<Events>,
    capture: Option<Capture>,
    losses: Arc<Losses>,
    status: Status,
}

impl Running {
    fn wait(&mut self, stop: &Stop) -> End {
        while !stop.is_due() {
            let full = self.events.as_ref().is_some_and(Events::has_stopped)
                || self.capture.as_ref().is_some_and(Capture::has_stopped);
            if full {
                return End::DiskFull;
            }
            if self.events.is_none() && self.capture.as_ref().is_some_and(Capture::is_over) {
                return End::NoInterface;
            }
            self.report_ended();
            self.status.update(self.figures());
            stop.wait(LOOK_EVERY);
        }
        End::Told
    }

    /// Says which interfaces there is nothing more to come from.
    fn report_ended(&mut self) {
        for ended in self.capture.iter().flat_map(Capture::take_ended) {
            self.status.aside(|| say_ended(&ended));
        }
    }

    fn figures(&self) -> Figures {
        let event_bytes = self.events.as_ref().map_or(0, Events::bytes);
        let packet_bytes = self.capture.as_ref().map_or(0, Capture::bytes);
        Figures {
            rows: self.events.as_ref().map(Events::rows),
            packets: self.capture.as_ref().map(Capture::packets),
            lost: self.losses.all().iter().sum(),
            bytes: event_bytes + packet_bytes,
        }
    }

    /// Finishes the files: packets first, so that every packet's events are there.
    fn finish(
        self,
        config: &RecordConfig,
        elapsed: Duration,
        end: End,
    ) -> (Summary, Vec<anyhow::Error>) {
        let mut errors = vec![];
        let mut packets = None;
        if let Some((capture, config)) = self.capture.zip(config.packets.as_ref()) {
            match capture.stop() {
                Ok(captured) => {
                    captured.ended.iter().for_each(say_ended);
                    packets = Some(PacketsSummary::new(&config.path, captured));
                }
                Err(error) => errors.push(error.into()),
            }
        }
        let mut events = None;
        if let Some((running, path)) = self.events.zip(config.events.as_deref()) {
            match running.finish(end == End::Told && errors.is_empty()) {
                Ok(written) => events = Some(EventsSummary::new(path, written)),
                Err(error) => errors.push(error),
            }
        }
        match end {
            // If something failed, that is what ended it, and it is said already.
            End::DiskFull if errors.is_empty() => errors.push(anyhow::anyhow!(
                "the disk is full: stopped, and what was recorded is whole; free some space and \
                 record again"
            )),
            End::NoInterface => errors.push(anyhow::anyhow!(
                "no interface is left to capture on: stopped, and what was recorded is whole"
            )),
            End::Told | End::DiskFull => {}
        }
        let complete = errors.is_empty();
        (Summary::new(elapsed, complete, events, packets, &self.losses), errors)
    }
}
