//! Files to tables: what each recording says of itself, and its rows one by one ([`rows`] for
//! those of sockets, [`tables`] for all others).

use std::path::Path;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use indexmap::IndexSet;
use schema::rows::{Columns, EventFile};
use schema::{Endpoint, FiveTuple, Kind, Proto, SchemaError};

use super::clock::ClockReader;
use super::decode::{self, Decoded};
use super::facts::{BatchFacts, Facts};
use super::host::{Host, HostId, RecordingInfo};
use super::identity::Identity;
use super::life::{ConversationId, LifeId};
use super::place::PlaceBuilder;
use super::sequence::Sequence;
use super::sockets::Sockets;
use super::{Recordings, position};

mod finish;
mod rows;
mod tables;

/// The columns a life is made of; the rest are not read.
const COLUMNS: &[&str] = &[
    "ts",
    "seq",
    "kind",
    "proto",
    "direction",
    "local_addr",
    "remote_addr",
    "local_port",
    "remote_port",
    "socket_cookie",
    "netns_cookie",
    "netns",
    "pid",
    "tid",
    "uid",
    "gid",
    "user",
    "comm",
    "exe",
    "cmdline",
    "start_ts",
    "ppid",
    "parent_comm",
    "parent_exe",
    "container_id",
    "container_name",
    "container_image",
    "pod_name",
    "pod_namespace",
    "latency_us",
    "retransmits",
    "bytes_sent",
    "bytes_received",
    "error",
    "count",
    "boot_ns",
    "peer_cookie",
    "ifname",
    "ifindex",
    "peer_netns",
    "v6only",
    "nat_src_addr",
    "nat_src_port",
    "nat_dst_addr",
    "nat_dst_port",
    "ct_id",
    "mono_offset_ns",
];

/// Those of them without which no end of any packet can be named: a file that lacks one would seem to
/// tell that nobody had a socket.
const NEEDED: &[&str] =
    &["proto", "local_addr", "local_port", "remote_addr", "remote_port", "socket_cookie", "pid"];

/// Rows whose sockets are looked up at the same time: as many as a processor waits for at once, and
/// some more.
const AHEAD: usize = 32;

/// Instead of a conversation: none. No recording has so many.
const NO_CONVERSATION: ConversationId = ConversationId(u32::MAX);

/// Collects the rows of all files.
#[derive(Default)]
pub(super) struct Builder {
    out: Recordings,
    identities: IndexSet<Identity, RandomState>,
    /// (host, pid, start): position is `proc` − 1.
    processes: IndexSet<(HostId, u32, i64), RandomState>,
    sockets: Sockets,
    /// The first conversation of every life; [`NO_CONVERSATION`] if it has none.
    first_conversations: Vec<ConversationId>,
    /// All others.
    conversations: HashMap<(LifeId, FiveTuple), ConversationId, RandomState>,
    /// The latest lives of the sockets of the next rows, of which there are [`AHEAD`] at most;
    /// [`NO_LIFE`](super::sockets::NO_LIFE) of those that are looked up when it is their turn.
    fetched: Vec<LifeId>,
    /// Whether a socket got another life since these were looked up.
    has_again: bool,
    /// Of every life, whether an `owner` row tells of it.
    refined: Vec<bool>,
    /// Positions of a life's listeners.
    listeners: HashMap<LifeId, Vec<usize>>,
    places: PlaceBuilder,
    /// When the first row and the last one has an identity, by its number.
    seen: Vec<(i64, i64)>,
    standing: tables::Standing,
    /// The numbers of the recording with the same index among the infos.
    recordings: Vec<Sequence>,
}

impl Builder {
    /// Adds the rows of one file. Parts of a recording come in their order.
    pub(super) fn add(
        &mut self,
        path: &Path,
        file: EventFile,
        threads: usize,
    ) -> Result<(), SchemaError> {
        file.require(NEEDED)?;
        let meta = file.meta().clone();
        let host = self.host(&meta.host, &meta.boot_id);
        let mut part = Part {
            start_ns: i64::MAX,
            end_ns: i64::MIN,
            last_ns: None,
            lost: vec![],
            clock: ClockReader::default(),
        };
        let rows = file.rows();
        let number = self.recording(&meta.recording, path, &meta.host);
        self.recordings[number].begin(meta.part);
        decode::each(&file.groups(COLUMNS), threads, |decoded| {
            let Decoded { batch, facts, mut cache } = decoded;
            let BatchFacts { rows, addresses, mut spaces } = facts;
            let columns = batch.columns()?;
            for (some, begin) in rows.chunks(AHEAD).zip((0..).step_by(AHEAD)) {
                self.fetch(host, some);
                for (facts, row) in some.iter().zip(begin..) {
                    let Some(time_ns) = self.time(host, &columns, &mut part, (row, facts)) else {
                        continue;
                    };
                    self.number_row(host, &mut part, number, (facts, time_ns));
                    let Some(kind) = facts.kind else { continue };
                    let row = Row {
                        host,
                        columns: &columns,
                        addresses: &addresses,
                        facts,
                        row,
                        kind,
                        time_ns,
                    };
                    self.add_row(row, &mut cache, &mut spaces, &mut part);
                }
            }
            Ok(())
        })?;
        merge_losses(&mut part.lost, &meta.lost);
        let timeline = &self.out.hosts[usize::from(host.0)].timeline;
        let first_ns = part.start_ns;
        if let Some(start) = parse_time(&meta.start) {
            // The first rows, of the clock and interfaces, are of before the hooks were attached: of
            // that time they prove nothing.
            part.start_ns = part.clock.first_steady(timeline, start);
        }
        if let Some(end) = parse_time(&meta.end) {
            part.end_ns = part.clock.steady(timeline, end);
        }
        // An empty recording without times covers nothing.
        if part.start_ns <= part.end_ns {
            let span = (part.start_ns, part.end_ns);
            self.out.hosts[usize::from(host.0)].add_recorded(span, first_ns);
        }
        let info = &mut self.out.infos[number];
        info.start_ns = info.start_ns.min(part.start_ns);
        info.end_ns = info.end_ns.max(part.end_ns);
        info.complete &= meta.complete;
        info.rows += rows;
        info.parts += u32::from(meta.part > 0);
        for (stage, count) in part.lost {
            add_lost(&mut info.lost, &stage, count);
        }
        Ok(())
    }

    /// Index of a recording's info and numbers; a file without an id is one by itself.
    fn recording(&mut self, id: &str, path: &Path, host: &str) -> usize {
        let known = self.out.infos.iter().position(|info| !id.is_empty() && info.recording == id);
        known.unwrap_or_else(|| {
            self.out.infos.push(RecordingInfo {
                path: path.to_owned(),
                recording: id.to_owned(),
                parts: 0,
                missing_parts: 0,
                missing_rows: 0,
                host: host.to_owned(),
                start_ns: i64::MAX,
                end_ns: i64::MIN,
                complete: true,
                rows: 0,
                lost: vec![],
            });
            self.recordings.push(Sequence::default());
            self.recordings.len() - 1
        })
    }

    /// Looks at a row's number; where some are missing, nothing is certain.
    fn number_row(
        &mut self,
        host: HostId,
        part: &mut Part,
        recording: usize,
        (facts, time_ns): (&Facts, i64),
    ) {
        let Some(seq) = facts.seq() else { return };
        if self.recordings[recording].row(seq) {
            let from = part.last_ns.unwrap_or(time_ns).min(time_ns);
            self.out.hosts[usize::from(host.0)].add_lost(from, time_ns);
        }
        part.last_ns = Some(time_ns);
    }

    /// The time of a row by a clock that is never set.
    fn time(
        &mut self,
        host: HostId,
        columns: &Columns<'_>,
        part: &mut Part,
        (row, facts): (usize, &Facts),
    ) -> Option<i64> {
        let time_ns = facts.time_ns()?;
        let timeline = &mut self.out.hosts[usize::from(host.0)].timeline;
        if facts.has_offset()
            && let Some(offset_ns) = columns.mono_offset_ns.get(row)
        {
            part.clock.set(timeline, columns.boot_ns.get(row)?, offset_ns);
        }
        let time_ns = part.clock.steady(timeline, time_ns);
        part.start_ns = part.start_ns.min(time_ns);
        part.end_ns = part.end_ns.max(time_ns);
        Some(time_ns)
    }

    fn host(&mut self, name: &str, boot_id: &str) -> HostId {
        let hosts = &mut self.out.hosts;
        let known = hosts.iter().position(|host| host.name == name && host.boot_id == boot_id);
        let index = known.unwrap_or_else(|| {
            hosts.push(Host::new(name.to_owned(), boot_id.to_owned()));
            hosts.len() - 1
        });
        // 65,536 files of different machines in one call don't fit a command line.
        HostId(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

/// What is collected of one file.
struct Part {
    start_ns: i64,
    end_ns: i64,
    /// Time of the last row read.
    last_ns: Option<i64>,
    lost: Vec<(String, u64)>,
    clock: ClockReader,
}

/// One row: whose, where it stands and when it was, the clock's steps undone.
#[derive(Clone, Copy)]
struct Row<'a, 'b> {
    host: HostId,
    columns: &'a Columns<'b>,
    addresses: &'a [[u8; 16]],
    facts: &'a Facts,
    row: usize,
    kind: Kind,
    time_ns: i64,
}

impl Row<'_, '_> {
    /// The local address.
    fn local(&self) -> Option<[u8; 16]> {
        self.addresses.get(position(self.facts.local)).copied()
    }

    /// The remote address.
    fn remote(&self) -> Option<[u8; 16]> {
        self.addresses.get(position(self.facts.remote)).copied()
    }
}

fn add_lost(lost: &mut Vec<(String, u64)>, stage: &str, count: u64) {
    match lost.iter_mut().find(|(known, _)| known == stage) {
        Some((_, total)) => *total = total.saturating_add(count),
        None => lost.push((stage.to_owned(), count)),
    }
}

/// The metadata count what was lost after the last `lost` row, too; the larger number is the truth.
fn merge_losses(lost: &mut Vec<(String, u64)>, json: &str) {
    let Ok(serde_json::Value::Object(stages)) = serde_json::from_str(json) else { return };
    for (stage, count) in stages {
        let count = count.as_u64().unwrap_or(0);
        match lost.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, rows)) => *rows = count.max(*rows),
            None if count > 0 => lost.push((stage, count)),
            None => {}
        }
    }
}

pub(super) fn parse_addr(text: &str) -> Option<[u8; 16]> {
    Some(Endpoint::new(text.parse().ok()?, 0).mapped())
}

fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

pub(super) fn parse_proto(text: &str) -> Option<Proto> {
    Proto::from_name(text)
}

#[cfg(test)]
mod tests {
    use super::merge_losses;

    #[test]
    fn losses_are_those_of_rows_and_metadata_whichever_are_more() {
        let mut lost = vec![("ring".to_owned(), 5), ("disk".to_owned(), 9)];
        merge_losses(&mut lost, r#"{"ring": 7, "disk": 2, "capture": 3, "channel": 0}"#);
        let want = [("ring", 7), ("disk", 9), ("capture", 3)];
        assert_eq!(lost, want.map(|(stage, count)| (stage.to_owned(), count)));
        merge_losses(&mut lost, "not JSON");
        assert_eq!(lost.len(), 3);
    }
}
