//! Everything that is to be known before the first packet is named: the event files, the capture's
//! first pass, who captured, and what the clocks have to do with each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::attribute::{KnownFlows, Matcher, Windows};
use crate::clock::CaptureClock;
use crate::clock::estimate::{Estimate, Use, estimate};
use crate::config::ClockOffset;
use crate::events::{EventFiles, HostId, Recordings, load_with};
use crate::examine::Examiner;
use crate::extra::outline::Outline;
use crate::fragment::Fragments;
use crate::index::Index;
use crate::layout::Layout;
use crate::nat_table;
use crate::pipeline::{Pipeline, PipelineError};
use crate::run::RunError;
use crate::source::{Reader, Source};
use crate::survey::{First, Survey};
use crate::syn::{Syn, SynTable};

/// What names are found by, as it was typed.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The capture.
    pub capture: PathBuf,
    /// The event files; at least one.
    pub events: Vec<PathBuf>,
    /// How far lives reach.
    pub windows: Windows,
    /// What the clocks have to do with each other.
    pub clock_offset: ClockOffset,
    /// The host that captured.
    pub capture_host: Option<String>,
    /// A table of published ports.
    pub nat: Option<PathBuf>,
}

/// What was found out.
#[derive(Debug)]
pub struct Prepared {
    /// Decides about packets.
    pub examiner: Examiner,
    /// Where the pieces of the capture are.
    pub layout: Layout,
    /// What the clocks of the hosts have to do with the capture's, one per host.
    pub clocks: Vec<Estimate>,
    /// The host that captured, if it is known.
    pub captured_on: Option<HostId>,
    /// What the capture has beside its packets.
    pub outline: Outline,
    /// Time of the capture's first packet, and of the last one; nanoseconds since 1970.
    pub span: Option<(i64, i64)>,
}

impl Sources {
    /// Reads the event files, and the capture for the first time. `progress` is told how many more
    /// of its bytes were read.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub fn prepare(
        &self,
        capture: &Source,
        events: &EventFiles,
        pipeline: &Pipeline,
        progress: impl Fn(u64) + Sync,
    ) -> Result<Prepared, RunError> {
        let mut recordings = load_with(&events.paths, pipeline.threads())?;
        let table = match &self.nat {
            Some(path) => nat_table::read(path)?,
            None => vec![],
        };
        let mut index = Arc::new(Index::new(&recordings));
        let known = KnownFlows::new(&recordings, Arc::clone(&index), &table);
        let (layout, survey) =
            pipeline.survey(capture, &known, progress).map_err(|error| self.pass_error(error))?;
        drop(known);

        let host = self.capture_host(&recordings, &survey)?;
        let timeline = host.map(|host| recordings.host(host).timeline.clone());
        let clock = CaptureClock::new(timeline.unwrap_or_default(), &survey.jumps, survey.span());
        let span = survey.span();
        let Survey { syns, fragments, outline, .. } = survey;
        let mut syns: Vec<Syn> = syns
            .into_iter()
            .map(|(syn, position)| Syn { time_ns: clock.steady(syn.time_ns, position), ..syn })
            .collect();
        let fragments = Fragments::new(fragments.into_iter().map(|(first, position)| First {
            time_ns: clock.steady(first.time_ns, position),
            ..first
        }));

        let seen = SynTable::from_unordered(&mut syns, &index, &recordings.conversations);
        let clocks: Vec<Estimate> = (0..recordings.hosts.len())
            .filter_map(|host| u16::try_from(host).ok().map(HostId))
            .map(|host| self.clock_offset.of(estimate(&recordings, &index, &seen, host)))
            .collect();
        if clocks.iter().any(|clock| matches!(clock.use_, Use::Applied | Use::Given)) {
            for estimate in &clocks {
                recordings.shift(estimate.host, |time_ns| estimate.moved(time_ns));
            }
            index = Arc::new(Index::new(&recordings));
        }
        let matcher = Matcher::with_syns(recordings, index, (syns, seen), &table, self.windows);
        let matcher = matcher.captured_on(host);
        let examiner = Examiner { matcher, clock, fragments };
        Ok(Prepared { examiner, layout, clocks, captured_on: host, outline, span })
    }

    /// Opens the capture. What comes through a pipe is kept in the folder `keep_in` meanwhile.
    ///
    /// # Errors
    ///
    /// [`RunError::Capture`].
    pub fn open(&self, keep_in: Option<&Path>) -> Result<Source, RunError> {
        Source::open(&self.capture, keep_in).map_err(|error| self.capture_error(error.into()))
    }

    /// `capture` from its beginning.
    ///
    /// # Errors
    ///
    /// [`RunError::Capture`].
    pub fn reader(&self, capture: &Source) -> Result<Reader, RunError> {
        capture.reader().map_err(|error| self.capture_error(error.into()))
    }

    /// `error`, which the pipeline met.
    pub fn pass_error(&self, error: PipelineError) -> RunError {
        match error {
            PipelineError::Scan(source) => self.capture_error(source),
            other => RunError::Pipeline(other),
        }
    }

    /// `source`, which is about the capture.
    pub fn capture_error(&self, source: crate::scan::ScanError) -> RunError {
        RunError::Capture { path: self.capture.clone(), source }
    }

    /// Who captured: by the user's word, the capture's own, or because only one can have.
    fn capture_host(
        &self,
        recordings: &Recordings,
        survey: &Survey,
    ) -> Result<Option<HostId>, RunError> {
        let hosts = &recordings.hosts;
        let id = |index: usize| u16::try_from(index).ok().map(HostId);
        if let Some(name) = &self.capture_host {
            let index = hosts.iter().position(|host| host.name == *name);
            return match index.and_then(id) {
                Some(host) => Ok(Some(host)),
                None => Err(RunError::UnknownHost {
                    name: name.clone(),
                    known: hosts.iter().map(|host| host.name.clone()).collect(),
                }),
            };
        }
        let mut told = survey.boot_ids.iter();
        if let (Some(boot_id), None) = (told.next(), told.next()) {
            return Ok(recordings.host_by_boot(boot_id));
        }
        if hosts.len() == 1 {
            return Ok(id(0));
        }
        // Every host has its `lo`; a name that only one has tells.
        let has = |host: HostId, name: &str| {
            let text = recordings.texts.find(name);
            let links = recordings.places.links().iter();
            let mut its =
                links.filter(|link| recordings.places.namespace(link.namespace).host == host);
            text.is_some_and(|text| its.any(|link| link.name == text))
        };
        let has_all = |host: &HostId| survey.interfaces.iter().all(|name| has(*host, name));
        let mut fitting = (0..hosts.len()).filter_map(id).filter(has_all);
        let only = fitting.next().filter(|_| !survey.interfaces.is_empty());
        Ok(only.filter(|_| fitting.next().is_none()))
    }
}
