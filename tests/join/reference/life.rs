//! Socket lives, and the connection attempts that the capture shows.

use std::net::SocketAddr;

use super::world::{Load, Packet, Row, Tuple};
use super::{BEFORE_MS, END_MS, LOSS_MS, SLACK_MS};

/// One socket from its first row to its close.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) netns: u64,
    pub(super) is_udp: bool,
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    pub(super) listens: bool,
    /// The kind of its first row.
    pub(super) opened: &'static str,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) is_closed: bool,
    /// From when on whose it is; nobody's that is known.
    owners: Vec<(i64, Option<String>)>,
    /// The attempt it began with.
    pub(super) own: Option<usize>,
    cookie: u64,
}

impl Life {
    pub(super) fn owner_at(&self, ms: i64) -> Option<String> {
        let begun = self.owners.iter().rev().find(|(from_ms, _)| *from_ms <= ms);
        begun.or(self.owners.first()).and_then(|(_, owner)| owner.clone())
    }
}

/// The lives that rows tell of.
pub(super) fn read(rows: &[Row]) -> Vec<Life> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.ms);
    let mut lives: Vec<Life> = vec![];
    let mut last_ms: Vec<i64> = vec![];
    let mut refined: Vec<bool> = vec![];
    for row in rows.iter().filter(|row| row.cookie != 0) {
        let Some(local) = row.local else { continue };
        let known = lives.iter().position(|life| life.cookie == row.cookie);
        let at = known.unwrap_or_else(|| {
            lives.push(Life {
                netns: row.netns,
                is_udp: row.kind.starts_with("udp") || row.more.contains("proto=udp"),
                local,
                remote: row.remote,
                listens: row.remote.is_none(),
                opened: row.kind,
                start_ms: row.ms,
                end_ms: END_MS,
                is_closed: false,
                owners: vec![(i64::MIN, row.process.clone())],
                own: None,
                cookie: row.cookie,
            });
            last_ms.push(row.ms);
            refined.push(false);
            lives.len() - 1
        });
        let life = &mut lives[at];
        last_ms[at] = row.ms;
        let is_close = row.kind.ends_with("_close");
        if is_close {
            (life.end_ms, life.is_closed) = (row.ms, true);
        }
        // The first reader has an accepted connection for life. Where nothing tells of one, whoever
        // closes it; one that was handed over is the new one's from then on.
        let is_reader = row.kind == "owner" && row.more.contains("direction=in");
        if is_reader || (is_close && life.opened == "tcp_accept" && !refined[at]) {
            life.owners = vec![(i64::MIN, row.process.clone())];
            refined[at] = true;
        } else if row.kind == "owner" {
            life.owners.push((row.ms, row.process.clone()));
        }
    }
    let losses: Vec<i64> = rows.iter().filter(|row| row.kind == "lost").map(|row| row.ms).collect();
    let twins: Vec<bool> = lives
        .iter()
        .map(|life| {
            lives.iter().any(|other| {
                other.netns != life.netns
                    && (other.local, other.remote) == (life.local, life.remote)
            })
        })
        .collect();
    for (at, life) in lives.iter_mut().enumerate().filter(|(_, life)| !life.is_closed) {
        // Whether it was open after a loss nobody knows.
        let since = losses.iter().filter(|&&ms| last_ms[at] < ms);
        let loss = since.map(|ms| (ms - LOSS_MS).max(last_ms[at])).min();
        // Nor does a SYN tell, where several have the tuple.
        if life.is_udp || twins[at] {
            life.end_ms = loss.unwrap_or(END_MS);
        }
        let is_cut = loss.is_some() || END_MS - last_ms[at] < 1_000;
        if life.opened == "tcp_accept" && !refined[at] && is_cut {
            life.owners = vec![(i64::MIN, None)];
        }
    }
    // A connection without a close was over when the next one had its tuple.
    for at in 0..lives.len() {
        let this = lives[at].clone();
        let next = lives.iter().filter(|other| {
            !other.is_udp
                && other.netns == this.netns
                && (other.local, other.remote) == (this.local, this.remote)
                && other.start_ms > this.start_ms
        });
        let next = next.map(|other| other.start_ms).min();
        if let Some(next) = next.filter(|_| !this.is_closed && !this.is_udp && !this.listens) {
            lives[at].end_ms = lives[at].end_ms.min(next - 1);
        }
    }
    lives
}

/// A SYN and its retransmissions.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The way it went.
    pub(super) tuple: Tuple,
    pub(super) seq: u32,
    pub(super) first_ms: i64,
    pub(super) answered_ms: Option<i64>,
    /// When it, or its answer, was last seen.
    last_ms: i64,
}

impl Attempt {
    /// Whether it is of this flow, either way.
    pub(super) fn is_of(&self, (src, dst): Tuple) -> bool {
        self.tuple == (src, dst) || self.tuple == (dst, src)
    }

    pub(super) fn is_answered_by(&self, load: Load) -> bool {
        matches!(load, Load::Tcp(flags, _, ack)
            if flags.contains('.') && ack == self.seq.wrapping_add(1))
    }
}

/// The attempts in a capture, in order of time.
pub(super) fn attempts(packets: &[Packet]) -> Vec<Attempt> {
    let mut syns: Vec<&Packet> =
        packets.iter().filter(|packet| packet.load.is_syn() || packet.load.is_syn_ack()).collect();
    syns.sort_by_key(|packet| (packet.ms, packet.load.is_syn_ack()));
    let mut attempts: Vec<Attempt> = vec![];
    for packet in syns {
        let Load::Tcp(_, seq, _) = packet.load else { continue };
        let tuple = (packet.src, packet.dst);
        if packet.load.is_syn_ack() {
            let back = (packet.dst, packet.src);
            let answered = attempts
                .iter_mut()
                .rev()
                .find(|attempt| attempt.tuple == back && attempt.is_answered_by(packet.load));
            if let Some(attempt) = answered {
                attempt.answered_ms.get_or_insert(packet.ms);
                attempt.last_ms = packet.ms;
            }
            continue;
        }
        let ms = packet.ms;
        match attempts.iter_mut().rev().find(|attempt| attempt.tuple == tuple) {
            Some(last) if last.seq == seq => last.last_ms = ms,
            _ => {
                attempts.push(Attempt { tuple, seq, first_ms: ms, answered_ms: None, last_ms: ms })
            }
        }
    }
    attempts
}

/// Finds the attempt that each connection began with: one is one life's in a namespace.
pub(super) fn find_own(lives: &mut [Life], attempts: &[Attempt]) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&at| lives[at].start_ms);
    for (nth, &at) in order.iter().enumerate() {
        let life = lives[at].clone();
        let Some(remote) = life.remote.filter(|_| !life.is_udp) else { continue };
        let is_end = |other: &Life| {
            (other.netns, other.local, other.remote) == (life.netns, life.local, life.remote)
        };
        let used = order[..nth].iter().map(|&former| &lives[former]);
        let used = used.filter(|former| is_end(former) && former.end_ms < life.start_ms);
        let used = used.filter_map(|former| former.own).max();
        let fits = |(position, attempt): &(usize, &Attempt)| {
            let tuple = match life.opened {
                "tcp_connect" => attempt.tuple == (life.local, remote),
                "tcp_accept" => attempt.tuple == (remote, life.local),
                _ => attempt.is_of((life.local, remote)),
            };
            // What was there before the recording is told of at its start; all else began while it
            // ran.
            let is_near = match life.opened {
                "socket" | "tcp_accept" => true,
                _ => attempt.last_ms + SLACK_MS >= 0,
            };
            tuple && is_near && used.is_none_or(|used| *position > used)
        };
        let fitting: Vec<(usize, &Attempt)> = attempts.iter().enumerate().filter(fits).collect();
        let start_ms = life.start_ms;
        let before = fitting.iter().rev().find(|(_, attempt)| attempt.first_ms <= start_ms);
        let after = fitting
            .iter()
            .find(|(_, attempt)| attempt.first_ms >= start_ms && attempt.first_ms <= life.end_ms);
        let own = if life.opened == "tcp_connect" {
            // The row precedes the SYN by next to nothing; the other order is clock slack.
            let before = before.filter(|(_, attempt)| start_ms - attempt.first_ms <= BEFORE_MS);
            let both = [after, before].into_iter().flatten();
            both.min_by_key(|(_, attempt)| attempt.first_ms.abs_diff(start_ms))
        } else {
            // The row follows the SYN.
            before.or(after.filter(|(_, attempt)| attempt.first_ms - start_ms <= BEFORE_MS))
        };
        lives[at].own = own.map(|&(position, _)| position);
    }
}
