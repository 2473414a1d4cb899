//! Prints the packets of an enriched capture, one line or one JSON object each. Brief annotations
//! are filled from the full ones before them, as the Wireshark plugin does.

use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

use schema::FiveTuple;
use schema::annotation::{Annotation, Process, Reason, Side};

use crate::chunk::{Damage, Item, ScanError, Scanner};
use crate::decode::{LinkType, Packet, decode};
use crate::input::Pool;
use crate::source;

mod filter;
mod json;
mod line;

pub use self::filter::Filter;

/// Flows without a name whose reasons are remembered. A capture with more shows later ones without.
const MAX_REASONS: usize = 1 << 20;

/// What to show.
#[derive(Clone, Debug)]
pub struct ShowConfig {
    /// The enriched capture.
    pub capture: PathBuf,
    /// Stop after so many packets.
    pub count: Option<u64>,
    /// Which packets.
    pub filter: Filter,
    /// One JSON object a line.
    pub json: bool,
}

/// Why packets could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The capture can't be read.
    #[error("{}: {source}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ScanError,
    },
    /// Standard output can't be written.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// A packet, ready to be printed.
#[derive(Debug)]
struct Shown<'a> {
    /// Number of the packet in the file, from 1.
    frame: u64,
    /// Nanoseconds since 1970; `None` for a simple packet block.
    time_ns: Option<i64>,
    interface: Option<&'a str>,
    packet: Option<Packet>,
    /// Bytes on the wire.
    length: u32,
    /// `None` where the packet and its flow carry none.
    annotation: Option<Annotation<'a>>,
}

/// Prints the packets of a capture; tells where it is damaged, if it is.
///
/// # Errors
///
/// [`ShowError`].
pub fn show(config: &ShowConfig) -> Result<Option<Damage>, ShowError> {
    let error = |source: ScanError| ShowError::Capture { path: config.capture.clone(), source };
    let capture = source::read_once(&config.capture).map_err(|source| error(source.into()))?;
    let pool = Pool::default();
    let mut scanner = Scanner::new(capture, pool.clone()).map_err(error)?;
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut out = BufWriter::new(stdout.lock());
    let mut memory = Memory::default();
    let (mut frame, mut count) = (0, 0);
    while let Some(chunk) = scanner.next_chunk().map_err(|source| error(source.into()))? {
        for item in chunk.items() {
            let Some(mut shown) = read(&item) else { continue };
            frame += 1;
            shown.frame = frame;
            memory.fill(&mut shown);
            if !config.filter.takes(&shown) {
                continue;
            }
            count += 1;
            if config.count.is_some_and(|most| count > most) {
                out.flush()?;
                return Ok(None);
            }
            if config.json {
                json::write(&shown, &mut out)?;
            } else {
                line::write(&shown, colour, &mut out)?;
            }
        }
        chunk.give_back(&pool);
    }
    out.flush()?;
    Ok(scanner.damage().cloned())
}

/// `None` if `item` is not a packet.
fn read<'a>(item: &Item<'a>) -> Option<Shown<'a>> {
    let blank = Shown {
        frame: 0,
        time_ns: None,
        interface: None,
        packet: None,
        length: 0,
        annotation: None,
    };
    Some(match item {
        Item::Block(block, interface) => Shown {
            time_ns: Some(interface.clock.nanoseconds(block.timestamp())),
            interface: interface.name.as_deref(),
            packet: seen(interface.link, block.data()),
            length: block.original_length(),
            annotation: block.own_comment().and_then(Annotation::decode),
            ..blank
        },
        Item::Record(record, link) => Shown {
            time_ns: Some(record.time_ns),
            packet: seen(*link, record.data),
            length: record.original_length,
            ..blank
        },
        Item::Simple(_) | Item::Malformed(_) => blank,
        Item::Other(_) => return None,
    })
}

/// The packet, its tuple from who sent it to who received it.
fn seen(link: LinkType, data: &[u8]) -> Option<Packet> {
    let packet = decode(link, data).ok()?;
    Some(Packet { tuple: packet.direction(), ..packet })
}

/// What earlier packets said.
#[derive(Debug, Default)]
struct Memory {
    /// By number in the file.
    processes: HashMap<u32, Process<'static>>,
    /// Why a flow's packets have no name: said on the first one only.
    reasons: HashMap<FiveTuple, (Option<Reason>, Option<Reason>)>,
}

impl Memory {
    /// Adds to `shown` what an earlier packet said of its processes or its flow.
    fn fill(&mut self, shown: &mut Shown<'_>) {
        let tuple = shown.packet.map(|packet| packet.tuple);
        let Some(annotation) = &mut shown.annotation else {
            if let Some(&(src, dst)) = tuple.and_then(|tuple| self.reasons.get(&tuple)) {
                let unnamed = |none| Side { none, ..Side::default() };
                shown.annotation = Some(Annotation {
                    src: unnamed(src),
                    dst: unnamed(dst),
                    ..Annotation::default()
                });
            }
            return;
        };
        self.fill_process(&mut annotation.src.process);
        self.fill_process(&mut annotation.dst.process);
        for side in [&mut annotation.src, &mut annotation.dst] {
            if let Some(via) = &mut side.via {
                self.fill_process(&mut via.process);
            }
        }
        let (src, dst) = (&annotation.src, &annotation.dst);
        let is_unnamed = src.outcome().is_err() && dst.outcome().is_err();
        if let Some(tuple) = tuple.filter(|_| is_unnamed && self.reasons.len() < MAX_REASONS) {
            self.reasons.insert(tuple, (src.none, dst.none));
        }
    }

    fn fill_process(&mut self, process: &mut Process<'_>) {
        let Some(number) = process.proc else { return };
        // Where a process is introduced, its host is named.
        if process.host.is_some() {
            self.processes.insert(number, process.clone().into_owned());
        } else if let Some(known) = self.processes.get(&number) {
            *process = std::mem::take(process).or(known);
        }
    }
}
