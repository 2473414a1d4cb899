//! What of all that happened the recorder wrote down: nothing from before it began or after it
//! ended, what existed at its start once more, and little of what fell into a loss.

use std::collections::HashMap;
use std::net::SocketAddr;

use schema::{Kind, Proto};

use crate::world::{Extra, LENGTH_NS, Life, LifeId, MILLI, Row, RowId, SECOND, World};

/// How long after its row open sockets are listed again.
const RELIST_NS: i64 = 1200 * MILLI;
/// How long each loss lasts; its row covers the second before it.
const LOSS_NS: i64 = 400 * MILLI;
/// How many there are.
const LOSSES: usize = 4;
/// Of a hundred rows, so many are lost meanwhile.
const LOST_PERCENT: u64 = 60;

/// What is written of one socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The first row.
    pub(crate) first_ns: Option<i64>,
    /// The first row that names the peer, by peer: of sockets without a fixed one.
    pub(crate) peers: HashMap<SocketAddr, i64>,
    /// Whether a row names the process that really uses it.
    pub(crate) names_user: bool,
    /// Its close, of a TCP socket.
    pub(crate) closed: Option<Row>,
    /// When it was last told of.
    pub(crate) last_ns: i64,
    /// Whether its end is written.
    is_over: bool,
}

#[derive(Debug)]
pub(crate) struct Recording {
    /// In order of time.
    pub(crate) rows: Vec<Row>,
    /// When `lost` rows were written, and of how many.
    pub(crate) losses: Vec<(i64, u64)>,
    /// By socket.
    pub(crate) known: Vec<Known>,
    /// Whether each row of the world is there.
    kept: Vec<bool>,
    /// Sockets with one peer, by both ends: all that had them.
    tuples: HashMap<Tuple, Vec<LifeId>>,
}

/// Namespace, protocol, and both ends.
type Tuple = (u64, Proto, SocketAddr, Option<SocketAddr>);

fn tuple(life: &Life) -> Tuple {
    (life.netns, life.proto, life.local, life.remote)
}

impl Recording {
    pub(crate) fn of(world: &mut World) -> Self {
        let begins: Vec<i64> =
            (0..LOSSES).map(|_| world.random.range(30 * SECOND, LENGTH_NS - 30 * SECOND)).collect();
        let mut losses: Vec<(i64, u64)> = begins.iter().map(|begin| (begin + LOSS_NS, 0)).collect();
        let mut rows = snapshot(world, 0);
        // What is open is told again after every loss.
        for (ts, _) in &losses {
            rows.extend(snapshot(world, ts + RELIST_NS));
        }
        let mut kept = vec![];
        for row in &world.rows {
            let mut keep = (0..=LENGTH_NS).contains(&row.ts);
            let loss = begins.iter().position(|begin| (0..LOSS_NS).contains(&(row.ts - begin)));
            if let Some(loss) = loss.filter(|_| keep && world.random.percent(LOST_PERCENT)) {
                losses[loss].1 += 1;
                keep = false;
            }
            kept.push(keep);
            if keep {
                rows.push(row.clone());
            }
        }
        rows.sort_by_key(|row| row.ts);
        losses.sort_unstable();
        let mut known = vec![Known::default(); world.lives.len()];
        for row in &rows {
            let (Some(LifeId(life)), Some(who)) = (row.life, row.who) else { continue };
            let this = &mut known[life];
            if row.kind == Kind::Forward {
                continue;
            }
            this.first_ns = this.first_ns.or(Some(row.ts));
            this.last_ns = row.ts;
            this.names_user |= world.lives[life].owner(row.ts) == who;
            if let Some(remote) = row.remote {
                this.peers.entry(remote).or_insert(row.ts);
            }
            this.is_over |= row.kind == Kind::UdpClose;
            if row.kind == Kind::TcpClose {
                this.closed = Some(row.clone());
            }
        }
        let mut tuples: HashMap<Tuple, Vec<LifeId>> = HashMap::new();
        for (id, life) in (0..).map(LifeId).zip(&world.lives) {
            tuples.entry(tuple(life)).or_default().push(id);
        }
        Self { rows, losses, known, kept, tuples }
    }

    /// Whether another socket of the same tuple began, and did not end as far as is written.
    pub(crate) fn is_doubtful(&self, world: &World, id: LifeId, time_ns: i64) -> bool {
        self.tuples[&tuple(&world.lives[id.0])].iter().any(|&other| {
            let known = &self.known[other.0];
            other != id && !known.is_over && known.first_ns.is_some_and(|first| first <= time_ns)
        })
    }

    pub(crate) fn has(&self, row: RowId) -> bool {
        self.kept[row.0]
    }

    /// Whether rows were lost between these two times, as far as the recording tells.
    pub(crate) fn is_lossy(&self, from_ns: i64, to_ns: i64) -> bool {
        self.losses.iter().any(|&(ts, _)| ts - SECOND <= to_ns && from_ns <= ts)
    }
}

/// Rows of the sockets that exist at some time.
fn snapshot(world: &mut World, at_ns: i64) -> Vec<Row> {
    let mut spans: Vec<Option<(i64, i64)>> = vec![None; world.lives.len()];
    for row in &world.rows {
        let Some(LifeId(life)) = row.life else { continue };
        let is_end = [Kind::TcpClose, Kind::UdpClose, Kind::TcpConnectFail].contains(&row.kind);
        let end = if is_end { row.ts } else { i64::MAX };
        let span = spans[life].get_or_insert((row.ts, end));
        *span = (span.0.min(row.ts), span.1.min(end));
    }
    let mut rows = vec![];
    for (id, span) in (0..).map(LifeId).zip(spans) {
        let ts = at_ns + world.random.range(MILLI, 5 * MILLI);
        if span.is_none_or(|(start, end)| start >= at_ns || end <= ts) {
            continue;
        }
        let life = &world.lives[id.0];
        rows.push(Row {
            ts,
            kind: Kind::Socket,
            proto: life.proto,
            life: Some(id),
            who: Some(life.owner(ts)),
            // Which end opened a connection, the kernel does not tell afterwards.
            direction: None,
            netns: life.netns,
            local: life.local,
            remote: life.remote,
            extra: Extra::Nothing,
        });
    }
    rows
}
