//! Where what an enriched file says beside its packets goes: changes of the capture, by position.

use std::ops::Range;

use schema::annotation::option::ByteOrder;

use super::native::{OPT_PROCESS, Processes};
use super::outline::{Described, Outline};
use super::residents::Residents;
use super::{interfaces, names};
use crate::block::{Step, first};
use crate::config::Style;
use crate::events::{HostId, Recordings};

/// Bytes of the capture, none or a whole block, that others take the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where they begin in the file, bytes, and where they end.
    pub range: Range<u64>,
    /// What is written instead.
    pub bytes: Vec<u8>,
}

/// Why macOS' process blocks can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--native needs a little-endian capture of one section without process blocks; {0}: leave it out"
)]
pub struct Unfit(String);

/// What an enriched file says beside its packets.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// In the order of their positions.
    edits: Vec<Edit>,
    /// What follows the section header that a legacy file gets.
    prelude: Vec<u8>,
    /// Processes that packets refer to.
    processes: Option<Processes>,
    /// Whether packets refer to those of an earlier run.
    had_processes: bool,
}

impl Extras {
    /// What `style` asks for, of a capture like `outline`, whose packets were captured by `host` in
    /// `span` (nanoseconds since 1970).
    ///
    /// # Errors
    ///
    /// [`Unfit`].
    pub fn new(
        style: Style,
        outline: &Outline,
        recordings: &Recordings,
        (host, span): (Option<HostId>, Option<(i64, i64)>),
    ) -> Result<Self, Unfit> {
        let mut extras = Self::default();
        let order = outline.begin.map_or(ByteOrder::Little, |(_, order)| order);
        let mut beginning = vec![];
        if style.names {
            let names = names::names(recordings, span.unwrap_or_default());
            names::append_names(&names, order, &mut beginning);
            // From an earlier run.
            if outline.has_names(&beginning) {
                beginning.clear();
            }
        }
        if style.native {
            check(outline, order)?;
            let processes = Processes::new(recordings);
            // Where those of an earlier run are.
            match outline.own_processes().first() {
                Some(&Range { start: at, .. }) => {
                    extras.edits.push(Edit { range: at..at, bytes: processes.blocks().to_vec() });
                }
                None => beginning.extend_from_slice(processes.blocks()),
            }
            extras.processes = Some(processes);
        }
        match outline.begin {
            Some((at, _)) if !beginning.is_empty() => {
                extras.edits.insert(0, Edit { range: at..at, bytes: beginning });
            }
            Some(_) => {}
            None => extras.prelude = beginning,
        }
        let own = outline.own_processes().iter().cloned();
        extras.edits.extend(own.map(|range| Edit { range, bytes: vec![] }));
        extras.had_processes = !outline.own_processes().is_empty();
        if style.names {
            let residents = Residents::new(recordings);
            let known = |described: &Described| {
                let told = described.boot_id.as_deref();
                let host = told.and_then(|boot_id| recordings.host_by_boot(boot_id)).or(host);
                let Described { position, order, bytes, .. } = described;
                let Step::Whole(block) = first(bytes, *order) else { return None };
                let new = interfaces::described(&block, *order, host, (recordings, &residents))?;
                Some(Edit { range: *position..*position + bytes.len() as u64, bytes: new })
            };
            extras.edits.extend(outline.descriptions.iter().filter_map(known));
        }
        // What is written somewhere stays before what is taken away there.
        extras.edits.sort_by_key(|edit| edit.range.start);
        Ok(extras)
    }

    /// Whether anything is changed beside the packets.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.edits.is_empty()
    }

    /// The changes that begin in `range`.
    #[must_use]
    pub fn within(&self, range: Range<u64>) -> &[Edit] {
        let before = |position: u64| self.edits.partition_point(|e| e.range.start < position);
        &self.edits[before(range.start)..before(range.end)]
    }

    /// What follows the section header that a legacy file gets.
    #[must_use]
    pub fn prelude(&self) -> &[u8] {
        &self.prelude
    }

    /// The option by which packets refer to processes of an earlier run, which are there no more.
    #[must_use]
    pub fn left_out(&self) -> Option<u16> {
        self.had_processes.then_some(OPT_PROCESS)
    }

    /// Processes that packets refer to.
    #[must_use]
    pub fn processes(&self) -> Option<&Processes> {
        self.processes.as_ref()
    }
}

fn check(outline: &Outline, order: ByteOrder) -> Result<(), Unfit> {
    let why = match outline {
        Outline { has_processes: true, .. } => "this one has some".to_owned(),
        Outline { sections, .. } if *sections > 1 => format!("this one has {sections} sections"),
        _ if order == ByteOrder::Big => "this one is big-endian".to_owned(),
        _ => return Ok(()),
    };
    Err(Unfit(why))
}
