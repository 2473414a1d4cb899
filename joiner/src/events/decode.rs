//! Row groups to batches, on several threads, and what can be said of a batch without those before
//! it: what its dictionaries mean, and which of its rows tell of one process. Batches come in the
//! order of the file, whoever decoded them.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use hashbrown::HashMap;
use schema::SchemaError;
use schema::rows::{Columns, EventBatch, Groups, TextColumn};

use super::cache::BatchCache;
use super::facts::{self, BatchFacts};
use super::guard;

/// Batches of a row group that may wait for those before them.
const WAITING: usize = 1;

/// Descriptions of one process that rows of a batch are compared with; usually it has one.
const DESCRIPTIONS: usize = 4;

/// A batch, and what it means.
pub(super) struct Decoded {
    pub(super) batch: EventBatch,
    pub(super) facts: BatchFacts,
    pub(super) cache: BatchCache,
}

type Sender = SyncSender<Result<Decoded, SchemaError>>;

/// Hands every batch of `groups` to `take`, in order.
pub(super) fn each(
    groups: &Groups,
    threads: usize,
    mut take: impl FnMut(Decoded) -> Result<(), SchemaError>,
) -> Result<(), SchemaError> {
    if threads < 2 || groups.len() < 2 {
        for number in 0..groups.len() {
            for batch in groups.batches(number)? {
                take(decoded(batch?)?)?;
            }
        }
        return Ok(());
    }
    // One more than are worked on.
    let ahead = threads + 1;
    let (work, queue) = sync_channel(ahead);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        // Dropped at the end, whatever that is: then the workers end.
        let work = work;
        for _ in 0..threads {
            scope.spawn(|| work_on(groups, &queue));
        }
        let mut numbers = 0..groups.len();
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < ahead
                && let Some(number) = numbers.next()
            {
                let (sender, receiver) = sync_channel(WAITING);
                // The workers live as long as there is work.
                let _ = work.send((number, sender));
                waiting.push_back(receiver);
            }
            let Some(batches): Option<Receiver<_>> = waiting.pop_front() else { return Ok(()) };
            for batch in batches {
                take(batch?)?;
            }
        }
    })
}

fn work_on(groups: &Groups, queue: &Mutex<Receiver<(usize, Sender)>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, sender)) = next else { return };
        let send_all = || {
            for batch in groups.batches(number)? {
                // Nobody takes them any more once one of them is damaged.
                if sender.send(Ok(decoded(batch?)?)).is_err() {
                    break;
                }
            }
            Ok(())
        };
        if let Err(error) = guard(send_all) {
            let _ = sender.send(Err(error));
        }
    }
}

fn decoded(batch: EventBatch) -> Result<Decoded, SchemaError> {
    let columns = batch.columns()?;
    let facts = facts::read(&columns, &alike(&columns, batch.len()));
    let mut cache = BatchCache::new(&columns);
    cache.known = vec![None; batch.len()];
    cache.noted = vec![None; facts.addresses.len()];
    Ok(Decoded { batch, facts, cache })
}

/// For every row that tells of a process the first one that tells the same of it.
fn alike(columns: &Columns<'_>, rows: usize) -> Vec<u32> {
    let mut alike = vec![facts::NONE; rows];
    let mut firsts: HashMap<(u32, Option<i64>), [u32; DESCRIPTIONS]> = HashMap::new();
    for (row, number) in (0..rows).zip(0..) {
        let Some(pid) = columns.pid.get(row) else { continue };
        let process = (pid, columns.start_ts.get(row));
        let known = firsts.entry(process).or_insert([facts::NONE; DESCRIPTIONS]);
        // One that is described in yet more ways is looked at row by row.
        alike[row] = number;
        for first in known {
            if *first == facts::NONE {
                *first = number;
                break;
            }
            let place = usize::try_from(*first).unwrap_or(usize::MAX);
            if is_alike(columns, place, row) {
                alike[row] = *first;
                break;
            }
        }
    }
    alike
}

/// Whether two rows, of one process, describe it by the same words.
fn is_alike(columns: &Columns<'_>, a: usize, b: usize) -> bool {
    let same = |column: &TextColumn<'_>| match column {
        TextColumn::Absent => true,
        TextColumn::Plain(_) => column.get(a) == column.get(b),
        TextColumn::Dict { .. } => column.key(a) == column.key(b),
    };
    columns.uid.get(a) == columns.uid.get(b)
        && columns.gid.get(a) == columns.gid.get(b)
        && columns.ppid.get(a) == columns.ppid.get(b)
        && [
            &columns.comm,
            &columns.cmdline,
            &columns.exe,
            &columns.user,
            &columns.parent_comm,
            &columns.parent_exe,
            &columns.container_id,
            &columns.container_name,
            &columns.container_image,
            &columns.pod_name,
            &columns.pod_namespace,
        ]
        .into_iter()
        .all(same)
}
