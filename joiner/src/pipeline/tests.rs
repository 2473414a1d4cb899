use super::*;
use crate::attribute::{Matcher, Windows};
use crate::clock::CaptureClock;
use crate::events;
use crate::fragment::Fragments;
use crate::index::Index;

fn pipeline() -> Pipeline {
    Pipeline::new(NonZeroUsize::new(2).expect("two")).expect("workers")
}

/// Many more pieces than fit into the queues.
fn capture() -> Reader {
    // A legacy file of raw IP, little-endian.
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes);
    let mut file = header.as_flattened().to_vec();
    let mut record = [1_u32, 2, 60_000, 60_000].map(u32::to_le_bytes).concat();
    record.resize(16 + 60_000, 0);
    for _ in 0..1000 {
        file.extend_from_slice(&record);
    }
    Box::new(io::Cursor::new(file))
}

fn examiner() -> Arc<Examiner> {
    let recordings = events::load::<&str>(&[]).expect("no files");
    let index = Arc::new(Index::new(&recordings));
    let matcher = Matcher::new(recordings, index, vec![], &[], Windows::default());
    Arc::new(Examiner { matcher, clock: CaptureClock::default(), fragments: Fragments::default() })
}

/// A file on a disk with room for so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn enrich(room: usize) -> Result<Totals, PipelineError> {
    let mode = (Detail::Auto, Style { pid_option: true }, None);
    pipeline().enrich(capture(), Disk(room), &examiner(), mode, None, |_| {})
}

#[test]
fn a_disk_that_fills_up_ends_the_run_wherever_it_is() {
    for room in [0, 30, 5_000_000, 50_000_000] {
        let result = enrich(room);
        assert!(matches!(result, Err(PipelineError::Write(_))), "{room}: {result:?}");
    }
    let totals = enrich(usize::MAX).expect("room enough");
    assert_eq!((totals.counts.packets, totals.damage), (1000, None));
}

#[test]
fn a_worker_that_panics_ends_the_run() {
    let pipeline = pipeline();
    let (queue, results) = pipeline.queue::<()>();
    assert!(pipeline.start(&queue, || panic!("on purpose, to see who notices")));
    let result = results.recv().expect("its place in the queue is taken");
    assert!(result.recv().is_err(), "it must not be waited for");
    // The workers live on.
    assert!(pipeline.start(&queue, || ()));
    assert!(results.recv().is_ok_and(|result| result.recv().is_ok()));
    drop(results);
    assert!(!pipeline.start(&queue, || ()), "nobody waits any more");
}
