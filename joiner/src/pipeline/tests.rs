use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::attribute::{Matcher, Windows};
use crate::clock::CaptureClock;
use crate::events;
use crate::fragment::Fragments;
use crate::index::Index;

fn pipeline(threads: usize) -> Pipeline {
    Pipeline::new(NonZeroUsize::new(threads).expect("some"))
}

/// Many more pieces than workers have at a time.
fn capture(folder: &Path) -> Source {
    // A legacy file of raw IP, little-endian.
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes);
    let mut file = header.as_flattened().to_vec();
    let mut record = [1_u32, 2, 60_000, 60_000].map(u32::to_le_bytes).concat();
    record.resize(16 + 60_000, 0);
    for _ in 0..1000 {
        file.extend_from_slice(&record);
    }
    stored(folder, &file)
}

fn stored(folder: &Path, file: &[u8]) -> Source {
    let path = folder.join("capture");
    std::fs::write(&path, file).expect("written");
    Source::open(&path, None).expect("opened")
}

fn index() -> (events::Recordings, Arc<Index>) {
    let recordings = events::load::<&str>(&[]).expect("no files");
    let index = Arc::new(Index::new(&recordings));
    (recordings, index)
}

fn examiner() -> Examiner {
    let (recordings, index) = index();
    let matcher = Matcher::new(recordings, index, vec![], &[], Windows::default());
    Examiner { matcher, clock: CaptureClock::default(), fragments: Fragments::default() }
}

fn survey_with(threads: usize, capture: &Source) -> Result<(Layout, Survey), PipelineError> {
    let (recordings, index) = index();
    pipeline(threads).survey(capture, &KnownFlows::new(&recordings, index, &[]), |_| {})
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

fn enrich(capture: &Source, output: impl Write + Send) -> Result<Totals, PipelineError> {
    let style = Style { pid_option: true, ..Style::default() };
    let extras = &Extras::default();
    let (detail, lengths) = (Detail::Auto, Lengths::Kept);
    let mode = Mode { detail, style, extras, report: None, lengths };
    let (layout, _) = survey_with(2, capture)?;
    pipeline(2).enrich((capture, &layout), output, &examiner(), mode, None, |_| {})
}

#[test]
fn a_disk_that_fills_up_ends_the_run_wherever_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let capture = capture(folder.path());
    for room in [0, 30, 5_000_000, 50_000_000] {
        let result = enrich(&capture, Disk(room));
        assert!(matches!(result, Err(PipelineError::Write(_))), "{room}: {result:?}");
    }
    let totals = enrich(&capture, Disk(usize::MAX)).expect("room enough");
    assert_eq!((totals.counts.packets, totals.damage), (1000, None));
}

#[test]
fn a_worker_that_panics_ends_the_run() {
    let turns = Turns::new(());
    let next = AtomicU64::new(0);
    let work = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        assert!(number > 0, "on purpose, to see who notices");
        assert!(turns.take(number, |()| ()).is_none(), "its turn can't come");
        Ok(())
    };
    let result = pipeline(3).run(|| turns.stop(), work);
    assert!(matches!(result, Err(PipelineError::Worker)), "{result:?}");
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

fn section() -> Vec<u8> {
    let words = [0x1a2b_3c4d_u32, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes);
    block(0x0a0d_0d0a, words.as_flattened())
}

/// An interface whose times are in units of 10^-`resolution` seconds.
fn interface(resolution: u8) -> Vec<u8> {
    block(1, &[101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0])
}

fn packet(interface: u32, time: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("short");
    let words = [interface, 0, time, length, length].map(u32::to_le_bytes);
    block(6, &[words.as_flattened(), data].concat())
}

/// Where every packet stands and when it was seen, by the layout.
fn packets(capture: &Source, layout: &Layout) -> Vec<(u64, i64)> {
    let (file, _) = capture.in_place().expect("a file");
    let feed = Feed::in_place(file, layout);
    let (mut piece, mut found) = (Piece::default(), vec![]);
    while feed.next(&mut piece).expect("read").is_some() {
        for (item, position) in piece.chunks().flat_map(|chunk| chunk.items_at()) {
            found.extend(item.captured().map(|captured| (position, captured.time_ns)));
        }
    }
    found
}

#[test]
fn any_number_of_threads_cuts_a_file_where_one_does() {
    let folder = tempfile::tempdir().expect("folder");
    // What looks like packets in packets, interfaces at any place, blocks longer than pieces, a new
    // section: every guess goes wrong somewhere.
    let inner: Vec<u8> = (0..40).flat_map(|time| packet(0, time, &[7; 64])).collect();
    let mut file = [section(), interface(9)].concat();
    for number in 0..1500 {
        file.extend(packet(0, number, &inner));
        match number {
            300 | 301 => file.extend(interface(3)),
            500 => file.extend(packet(0, 5, &inner.repeat(400))),
            700 => file.extend([section(), interface(3)].concat()),
            900 => file.extend(block(0xbad, &vec![6; 2_000_000])),
            _ => {}
        }
    }
    file.extend(&inner[..50]);
    let capture = stored(folder.path(), &file);
    let (one, _) = survey_with(1, &capture).expect("one thread");
    let wanted = packets(&capture, &one);
    assert_eq!(wanted.len(), 1501);
    for threads in [2, 3, 8] {
        let (many, _) = survey_with(threads, &capture).expect("many threads");
        assert_eq!(many.damage, one.damage);
        assert!(packets(&capture, &many) == wanted, "{threads} threads");
    }
    let damage = one.damage.expect("its end is cut off");
    assert_eq!((damage.offset, damage.packets), (file.len() as u64 - 50, 1501));
    let mut scanner = crate::scan::Scanner::new(&file[..]).expect("a capture");
    let (mut piece, mut streamed) = (Piece::default(), vec![]);
    while scanner.next_piece(&mut piece).expect("read") {
        for (item, position) in piece.chunks().flat_map(|chunk| chunk.items_at()) {
            streamed.extend(item.captured().map(|captured| (position, captured.time_ns)));
        }
    }
    assert!(streamed == wanted);
    assert_eq!(scanner.damage(), Some(&damage));
}
