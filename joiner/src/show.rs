//! Prints the packets of an enriched capture, one line or one JSON object each. Brief annotations
//! are filled from the full ones before them, as the Wireshark plugin does.

use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

use schema::FiveTuple;
use schema::annotation::option::{ByteOrder, OPT_COMMENT, Options};
use schema::annotation::{Annotation, Process, Reason, Side};

use crate::chunk::{Item, Piece};
use crate::decode::{LinkType, Packet, decode};
use crate::scan::{Damage, ScanError, Scanner};
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
    let mut scanner = Scanner::new(capture).map_err(error)?;
    let mut piece = Piece::default();
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut out = BufWriter::new(stdout.lock());
    let mut memory = Memory::default();
    let (mut frame, mut count) = (0, 0);
    while scanner.next_piece(&mut piece).map_err(|source| error(source.into()))? {
        let items = piece.chunks().flat_map(|chunk| {
            let order = chunk.order();
            chunk.items().map(move |item| (item, order))
        });
        for (item, order) in items {
            let Some(mut shown) = read(&item, order) else { continue };
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
    }
    out.flush()?;
    Ok(scanner.damage().cloned())
}

/// `None` if `item`, which is in this order, is not a packet.
fn read<'a>(item: &Item<'a>, order: ByteOrder) -> Option<Shown<'a>> {
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
            annotation: annotation(block.options(), order),
            ..blank
        },
        Item::Record(record, link) => Shown {
            time_ns: Some(record.time_ns),
            packet: seen(*link, record.data),
            length: record.original_length,
            ..blank
        },
        Item::Simple(block) => Shown { length: simple_length(block, order), ..blank },
        Item::Malformed(_) => blank,
        Item::Other(_) => return None,
    })
}

/// What the first comment of ours says.
fn annotation(options: &[u8], order: ByteOrder) -> Option<Annotation<'_>> {
    Options::new(options, order)
        .map_while(Result::ok)
        .filter(|option| option.code == OPT_COMMENT)
        .find_map(|option| Annotation::decode(std::str::from_utf8(option.value).ok()?))
}

/// Bytes on the wire of a simple packet block, which says nothing else: it follows type and length of the
/// block.
fn simple_length(block: &[u8], order: ByteOrder) -> u32 {
    block.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |length| order.u32(*length))
}

/// The packet, its tuple from who sent it to who received it.
fn seen(link: LinkType, data: &[u8]) -> Option<Packet> {
    let packet = decode(link, data).ok()?;
    Some(Packet { tuple: packet.direction(), ..packet })
}

/// What earlier packets said.
#[derive(Debug, Default)]
struct Memory {
    /// By number in the file; several in a file that was merged of others.
    processes: HashMap<u32, Vec<Process<'static>>>,
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

    /// A number alone is not enough to go by: a process that executes another program keeps it, and
    /// captures of several joins may be merged.
    fn fill_process(&mut self, process: &mut Process<'_>) {
        let Some(number) = process.proc else { return };
        let agrees = |known: &Process<'_>| {
            (process.pid.is_none() || process.pid == known.pid)
                && (process.comm.is_none() || process.comm == known.comm)
        };
        let known = self.processes.entry(number).or_default();
        let mut fitting = known.iter_mut().filter(|known| agrees(known));
        match (fitting.next(), fitting.next()) {
            // Where a process is introduced, its host is named; what was said before is replaced.
            (Some(known), None) if process.host.is_some() => *known = lasting(process),
            (Some(known), None) => *process = std::mem::take(process).or(known),
            (None, _) if process.pid.is_some() => known.push(lasting(process)),
            _ => {}
        }
    }
}

/// What is true of a process whatever the packet: thread and namespace are the socket's.
fn lasting(process: &Process<'_>) -> Process<'static> {
    Process { tid: None, netns: None, ..process.clone().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(comments: &[&str]) -> Vec<(Option<String>, Option<u32>)> {
        let mut memory = Memory::default();
        let fill = |comment: &&str| {
            let mut process = Annotation::decode(comment).expect("ours").src.process.into_owned();
            memory.fill_process(&mut process);
            (process.exe.map(std::borrow::Cow::into_owned), process.tid)
        };
        comments.iter().map(fill).collect()
    }

    #[test]
    fn a_process_number_alone_fills_nothing() {
        let exes: Vec<_> = filled(&[
            "ebpf src.pid=5 src.tid=6 src.comm=sh src.exe=/bin/sh src.host=h src.proc=1",
            "ebpf src.pid=5 src.comm=nc src.exe=/bin/nc src.host=h src.proc=1",
            "ebpf src.pid=5 src.comm=sh src.proc=1",
            "ebpf src.pid=5 src.comm=nc src.proc=1",
            "ebpf src.pid=6 src.comm=sh src.proc=1",
            // As of who is behind a proxy; any of three.
            "ebpf src.proc=1",
        ]);
        let exes = exes.iter().map(|(exe, _)| exe.as_deref());
        let expected = ["/bin/sh", "/bin/nc", "/bin/sh", "/bin/nc"].map(Some);
        assert!(exes.eq(expected.into_iter().chain([None, None])));
    }

    #[test]
    fn who_was_never_introduced_is_filled_from_what_was_said_of_it() {
        let said = "ebpf src.pid=5 src.tid=6 src.comm=curl src.exe=/bin/curl src.proc=1";
        let (exe, tid) = (Some("/bin/curl".to_owned()), Some(6));
        assert_eq!(filled(&[said, "ebpf src.proc=1"]), [(exe.clone(), tid), (exe, None)]);
    }
}
