//! Rows to lives. Rows may come in any order within a life: each fact is taken from the row that
//! states it, times are minima and maxima.

use std::collections::HashMap;
use std::path::Path;

use indexmap::IndexSet;
use schema::kind::LossStage;
use schema::rows::{Columns, EventFile, TextColumn};
use schema::{Endpoint, EventDirection, FiveTuple, Kind, Proto, SchemaError};

use super::cache::{BatchCache, Cached};
use super::host::{Host, HostId, RecordingInfo};
use super::identity::{Identity, IdentityId};
use super::life::{Conversation, ConversationId, Handover, Life, LifeId};
use super::sequence::Sequence;
use super::text::TextId;
use super::{Recordings, position};

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
    "error",
    "count",
];

/// Collects the rows of all files.
#[derive(Default)]
pub(super) struct Builder {
    out: Recordings,
    identities: IndexSet<Identity>,
    /// (host, pid, start): position is `proc` − 1.
    processes: IndexSet<(HostId, u32, i64)>,
    /// The latest life of a socket.
    sockets: HashMap<(HostId, u64), LifeId>,
    conversations: HashMap<(LifeId, FiveTuple), ConversationId>,
    /// The numbers of the recording with the same index among the infos.
    recordings: Vec<Sequence>,
}

impl Builder {
    /// Adds the rows of one file. Parts of a recording come in their order.
    pub(super) fn add(&mut self, path: &Path, file: EventFile) -> Result<(), SchemaError> {
        let meta = file.meta().clone();
        let host = self.host(&meta.host, &meta.boot_id);
        let mut part = Part {
            start_ns: parse_time(&meta.start).unwrap_or(i64::MAX),
            end_ns: i64::MIN,
            last_ns: None,
            lost: vec![],
        };
        let rows = file.rows();
        let number = self.recording(&meta.recording, path, &meta.host);
        self.recordings[number].begin(meta.part);
        for batch in file.batches(COLUMNS)? {
            let batch = batch?;
            let columns = batch.columns()?;
            let mut cache = BatchCache::new(&columns);
            for row in 0..batch.len() {
                self.number_row(host, &columns, &mut part, number, row);
                self.add_row(host, &columns, &mut cache, &mut part, row);
            }
        }
        merge_losses(&mut part.lost, &meta.lost);
        if let Some(end) = parse_time(&meta.end) {
            part.end_ns = end;
        }
        // An empty recording without times covers nothing.
        if part.start_ns <= part.end_ns {
            let span = (part.start_ns, part.end_ns);
            self.out.hosts[usize::from(host.0)].add_recorded(span);
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
        columns: &Columns<'_>,
        part: &mut Part,
        recording: usize,
        row: usize,
    ) {
        let (Some(seq), Some(time_ns)) = (columns.seq.get(row), columns.ts.get(row)) else {
            return;
        };
        if self.recordings[recording].row(seq) {
            let from = part.last_ns.unwrap_or(time_ns).min(time_ns);
            self.out.hosts[usize::from(host.0)].add_lost(from, time_ns);
        }
        part.last_ns = Some(time_ns);
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

    fn add_row(
        &mut self,
        host: HostId,
        columns: &Columns<'_>,
        cache: &mut BatchCache,
        part: &mut Part,
        row: usize,
    ) {
        let Some(time_ns) = columns.ts.get(row) else { return };
        part.start_ns = part.start_ns.min(time_ns);
        part.end_ns = part.end_ns.max(time_ns);
        let Some(kind) = cache.kind.get(&columns.kind, row, Kind::from_text) else { return };
        let local = cache.local.get(&columns.local_addr, row, parse_addr);
        if let Some(local) = local {
            self.out.hosts[usize::from(host.0)].add_address(Endpoint::v6(local, 0));
        }
        match kind {
            Kind::Lost => self.add_loss(host, columns, part, row, time_ns),
            // Rules for these come with the listener, translation and process tables.
            Kind::TcpListen | Kind::Nat | Kind::NatEnd | Kind::Forward | Kind::Exec => {}
            Kind::Exit | Kind::Interface | Kind::Publish | Kind::Clock => {}
            _ => {
                let Some(cookie) = columns.socket_cookie.get(row) else { return };
                let owner = self.identity(host, columns, cache, row);
                let life = self.life(host, cookie, kind, time_ns);
                self.update_life(life, columns, kind, row, time_ns, owner);
                let remote = cache.remote.get(&columns.remote_addr, row, parse_addr);
                let proto = cache.proto.get(&columns.proto, row, Proto::from_name);
                let (Some(proto), Some(local), Some(remote)) = (proto, local, remote) else {
                    return;
                };
                let ports = columns.local_port.get(row).zip(columns.remote_port.get(row));
                let Some((local_port, remote_port)) = ports else { return };
                let local = Endpoint::v6(local, local_port);
                let remote = Endpoint::v6(remote, remote_port);
                let tuple = FiveTuple::new(proto, local, remote);
                self.converse(life, tuple, kind, time_ns, owner);
            }
        }
    }

    fn add_loss(
        &mut self,
        host: HostId,
        columns: &Columns<'_>,
        part: &mut Part,
        row: usize,
        time_ns: i64,
    ) {
        let stage = columns.error.get(row).unwrap_or("unknown");
        let count = columns.count.get(row).unwrap_or(1);
        add_lost(&mut part.lost, stage, count);
        // Packets the capture dropped don't make any name doubtful.
        if stage != LossStage::Capture.as_str() {
            self.out.hosts[usize::from(host.0)].add_loss(time_ns);
        }
    }

    /// The life of socket `cookie` that a row of this kind belongs to.
    fn life(&mut self, host: HostId, cookie: u64, kind: Kind, time_ns: i64) -> LifeId {
        if let Some(&id) = self.sockets.get(&(host, cookie)) {
            // A socket whose connect failed may connect again.
            if kind != Kind::TcpConnect || self.out.lives[position(id.0)].closed.is_none() {
                return id;
            }
        }
        let id = LifeId(u32::try_from(self.out.lives.len()).unwrap_or(u32::MAX));
        self.out.lives.push(Life {
            host,
            socket_cookie: cookie,
            netns: None,
            netns_cookie: None,
            direction: None,
            opened: kind,
            closed: None,
            start_ns: time_ns,
            end_ns: time_ns,
            owner: None,
            tid: None,
            latency_us: None,
            retransmits: None,
        });
        self.sockets.insert((host, cookie), id);
        id
    }

    fn update_life(
        &mut self,
        id: LifeId,
        columns: &Columns<'_>,
        kind: Kind,
        row: usize,
        time_ns: i64,
        owner: Option<IdentityId>,
    ) {
        let direction = columns.direction.get(row).and_then(EventDirection::from_text);
        let life = &mut self.out.lives[position(id.0)];
        if time_ns < life.start_ns {
            life.start_ns = time_ns;
            life.opened = kind;
        }
        life.end_ns = life.end_ns.max(time_ns);
        life.direction = life.direction.or(direction);
        life.netns = life.netns.or(columns.netns.get(row));
        life.netns_cookie = life.netns_cookie.or(columns.netns_cookie.get(row));
        life.latency_us = life.latency_us.or(columns.latency_us.get(row));
        life.retransmits = life.retransmits.max(columns.retransmits.get(row));
        if matches!(kind, Kind::TcpClose | Kind::UdpClose | Kind::TcpConnectFail) {
            life.closed = Some(kind);
            life.end_ns = time_ns;
        }
        let Some(owner) = owner else { return };
        if kind == Kind::Owner {
            if direction.is_some() {
                life.owner = Some(owner);
                life.tid = columns.tid.get(row);
            } else {
                self.out.handovers.push(Handover { life: id, time_ns, owner });
            }
        } else if life.owner.is_none() {
            life.owner = Some(owner);
            life.tid = columns.tid.get(row);
        }
    }

    fn converse(
        &mut self,
        life: LifeId,
        tuple: FiveTuple,
        kind: Kind,
        time_ns: i64,
        owner: Option<IdentityId>,
    ) {
        let next = ConversationId(u32::try_from(self.out.conversations.len()).unwrap_or(u32::MAX));
        let id = *self.conversations.entry((life, tuple)).or_insert(next);
        // A datagram's row names the process that really sent or read it; every other row names
        // the socket's owner, which may be refined later.
        let own = matches!(kind, Kind::UdpSend | Kind::UdpRecv).then_some(owner).flatten();
        if id == next {
            self.out.conversations.push(Conversation {
                life,
                tuple,
                opened: kind,
                opened_ns: time_ns,
                owner: own,
            });
            return;
        }
        let known = &mut self.out.conversations[position(id.0)];
        known.owner = known.owner.or(own);
        if time_ns < known.opened_ns {
            known.opened_ns = time_ns;
            known.opened = kind;
        }
    }

    fn identity(
        &mut self,
        host: HostId,
        columns: &Columns<'_>,
        cache: &mut BatchCache,
        row: usize,
    ) -> Option<IdentityId> {
        let pid = columns.pid.get(row)?;
        let start = columns.start_ts.get(row).unwrap_or(0);
        let (process, _) = self.processes.insert_full((host, pid, start));
        let texts = &mut self.out.texts;
        let mut text = |cached: &mut Cached<TextId>, column: &TextColumn<'_>| {
            cached.get(column, row, |text| Some(texts.intern(text))).unwrap_or_default()
        };
        let pod_name = text(&mut cache.pod_name, &columns.pod_name);
        let mut identity = Identity {
            host,
            proc: u32::try_from(process + 1).unwrap_or(u32::MAX),
            pid,
            uid: columns.uid.get(row),
            gid: columns.gid.get(row),
            ppid: columns.ppid.get(row),
            user: text(&mut cache.user, &columns.user),
            comm: text(&mut cache.comm, &columns.comm),
            exe: text(&mut cache.exe, &columns.exe),
            cmdline: text(&mut cache.cmdline, &columns.cmdline),
            parent_comm: text(&mut cache.parent_comm, &columns.parent_comm),
            parent_exe: text(&mut cache.parent_exe, &columns.parent_exe),
            container_id: text(&mut cache.container_id, &columns.container_id),
            container_name: text(&mut cache.container_name, &columns.container_name),
            container_image: text(&mut cache.container_image, &columns.container_image),
            pod: pod_name,
        };
        if let (Some(namespace), Some(name)) =
            (columns.pod_namespace.get(row), columns.pod_name.get(row))
        {
            identity.pod = self.out.texts.intern(&format!("{namespace}/{name}"));
        }
        let (id, _) = self.identities.insert_full(identity);
        Some(IdentityId(u32::try_from(id).unwrap_or(u32::MAX)))
    }

    /// Everything read, with open lives prolonged to where their host's recording ends, or breaks
    /// off.
    pub(super) fn finish(self) -> Recordings {
        let mut out = self.out;
        out.identities = self.identities.into_iter().collect();
        for (info, numbers) in out.infos.iter_mut().zip(self.recordings) {
            info.missing_parts = numbers.missing_parts;
            info.missing_rows = numbers.missing_rows.saturating_sub(told_rows(&info.lost));
        }
        for life in &mut out.lives {
            if life.closed.is_none() {
                // What was not recorded, the close may be in.
                let until = out.hosts[usize::from(life.host.0)].recorded_until(life.end_ns);
                life.end_ns = until.unwrap_or(life.end_ns);
            }
        }
        out.handovers.sort_by_key(|handover| (handover.life, handover.time_ns));
        out
    }
}

/// What is collected of one file.
struct Part {
    start_ns: i64,
    end_ns: i64,
    /// Time of the last row read.
    last_ns: Option<i64>,
    lost: Vec<(String, u64)>,
}

fn add_lost(lost: &mut Vec<(String, u64)>, stage: &str, count: u64) {
    match lost.iter_mut().find(|(known, _)| known == stage) {
        Some((_, total)) => *total = total.saturating_add(count),
        None => lost.push((stage.to_owned(), count)),
    }
}

/// Rows that were lost after they had got their number.
fn told_rows(lost: &[(String, u64)]) -> u64 {
    let stages = [LossStage::Channel, LossStage::Disk].map(LossStage::as_str);
    let told = lost.iter().filter(|(stage, _)| stages.contains(&stage.as_str()));
    told.map(|&(_, count)| count).fold(0, u64::saturating_add)
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

fn parse_addr(text: &str) -> Option<[u8; 16]> {
    Some(Endpoint::new(text.parse().ok()?, 0).mapped())
}

fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
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
