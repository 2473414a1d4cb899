//! Segments of an event file. The writer puts every row group down as a small Parquet file of its
//! own, a *segment*, in one piece; the footer at the very end describes the row groups of all
//! segments as those of one file, and readers, who go by that footer, never look at what is
//! between them.
//!
//! ```text
//! PAR1 row group, footer of it, length PARS │ PAR1 row group, footer, length PARS │ … │ footer of all, length PAR1
//! └────────────── segment ────────────────┘ └──────────── segment ──────────────┘
//! ```
//!
//! A segment ends in a magic of its own, so that nobody takes the last one for the whole file.
//! So whatever moment the writer is stopped at, the segments before it can be found again, from the
//! back: each footer tells where its segment begins, and there the one before it ends.

use std::io::{self, Read, Seek, SeekFrom};

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::error::SchemaError;
use crate::meta::FileMeta;

/// First and last bytes of every Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// Last bytes of a segment.
pub(crate) const SEGMENT_MAGIC: &[u8; 4] = b"PARS";
/// Bytes at the end of a footer: its length and the magic.
const TAIL: u64 = 8;
/// Bytes of a footer at most. One of a segment takes some ten thousand.
const MAX_FOOTER: u64 = 64 << 20;
/// Bytes looked at at once in the search for an end.
const WINDOW: u64 = 1 << 20;

/// One row group, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Offset of the segment in the file.
    pub(crate) at: u64,
    /// Bytes of the thrift footer that describes it as if it began at offset 0.
    pub(crate) footer_len: u64,
    /// That footer, compressed: a recording without end keeps all of them in memory.
    footer: Vec<u8>,
}

impl Segment {
    /// From the thrift footer of a segment at `at`.
    pub(crate) fn new(at: u64, footer: &[u8]) -> io::Result<Self> {
        let footer_len = footer.len() as u64;
        Ok(Self { at, footer_len, footer: zstd::bulk::compress(footer, 1)? })
    }

    /// Its row group, with the offsets it has in the whole file.
    pub(crate) fn row_group(&self) -> Result<RowGroupMetaData, ParquetError> {
        let capacity = usize::try_from(self.footer_len).unwrap_or(0);
        let footer = zstd::bulk::decompress(&self.footer, capacity)?;
        let metadata = ParquetMetaDataReader::decode_metadata(&footer)?;
        let group = metadata.row_groups().first().cloned();
        let group = group.ok_or_else(|| ParquetError::General("no row group".to_owned()))?;
        shift(group, self.at)
    }
}

/// Moves a row group `by` bytes.
fn shift(group: RowGroupMetaData, by: u64) -> Result<RowGroupMetaData, ParquetError> {
    let by = i64::try_from(by).map_err(|_| ParquetError::General("too long".to_owned()))?;
    let columns = group.columns().iter().cloned().map(|column| {
        let data = column.data_page_offset() + by;
        let dictionary = column.dictionary_page_offset().map(|offset| offset + by);
        let builder = column.into_builder().set_data_page_offset(data);
        builder.set_dictionary_page_offset(dictionary).build()
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let file_offset = group.file_offset().unwrap_or(0) + by;
    group.into_builder().set_column_metadata(columns).set_file_offset(file_offset).build()
}

/// The segments of a file that was cut off.
#[derive(Debug, Default)]
pub struct Chain {
    pub(crate) segments: Vec<Segment>,
    pub(crate) rows: u64,
    end: u64,
    unreadable: u64,
    last_seq: Option<u64>,
    last_ts: Option<i64>,
    meta: Option<FileMeta>,
    finished: bool,
}

impl Chain {
    /// Finds the segments of `file`, whatever its end is like.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Io`]; [`SchemaError::NewerVersion`] and its like where a segment's metadata
    /// say so. Damage is no error: what can't be read is counted.
    pub fn find(file: &mut (impl Read + Seek)) -> Result<Self, SchemaError> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut chain = Self::default();
        let mut end = length;
        while end > 0 {
            match read_segment(file, end)? {
                Some(Found::Whole(meta)) if end == length => {
                    chain.end = end;
                    chain.rows = meta.1;
                    chain.meta = Some(meta.0?);
                    chain.finished = true;
                    return Ok(chain);
                }
                Some(Found::Segment(found)) => {
                    if chain.segments.is_empty() {
                        chain.end = end;
                        chain.last_seq = found.last_seq;
                        chain.last_ts = found.last_ts;
                        chain.meta = Some(found.meta?);
                    }
                    chain.rows += found.rows;
                    end = found.segment.at;
                    chain.segments.push(found.segment);
                }
                _ => {
                    let before = find_magic(file, end)?;
                    if !chain.segments.is_empty() {
                        chain.unreadable += end - before;
                    }
                    end = before;
                }
            }
        }
        chain.segments.reverse();
        Ok(chain)
    }

    /// Whether the file is whole: finished, only not renamed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Rows in the segments.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Offset of the end of the last segment; what follows is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes between segments that nothing could be made of.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// `seq` of the last row, as far as a segment tells.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// The highest `ts` of the last segment, nanoseconds since 1970.
    #[must_use]
    pub fn last_ts(&self) -> Option<i64> {
        self.last_ts
    }

    /// What the last segment says of the recording.
    #[must_use]
    pub fn meta(&self) -> Option<&FileMeta> {
        self.meta.as_ref()
    }
}

enum Found {
    Segment(Box<FoundSegment>),
    /// A finished file: its metadata and rows.
    Whole(Box<(Result<FileMeta, SchemaError>, u64)>),
}

struct FoundSegment {
    segment: Segment,
    rows: u64,
    last_seq: Option<u64>,
    last_ts: Option<i64>,
    meta: Result<FileMeta, SchemaError>,
}

/// The segment, or the whole file, that ends at `end`, if one does.
fn read_segment(file: &mut (impl Read + Seek), end: u64) -> Result<Option<Found>, SchemaError> {
    let Some(tail_at) = end.checked_sub(TAIL) else { return Ok(None) };
    let mut tail = [0; 8];
    read_at(file, &mut tail, tail_at)?;
    let Some((length, magic)) = tail.split_first_chunk::<4>() else { return Ok(None) };
    let is_whole = magic == MAGIC;
    if !is_whole && magic != SEGMENT_MAGIC {
        return Ok(None);
    }
    let length = u64::from(u32::from_le_bytes(*length));
    let Some(footer_at) = tail_at.checked_sub(length).filter(|_| length <= MAX_FOOTER) else {
        return Ok(None);
    };
    let mut footer = vec![0; usize::try_from(length).unwrap_or(0)];
    read_at(file, &mut footer, footer_at)?;
    let Ok(metadata) = ParquetMetaDataReader::decode_metadata(&footer) else { return Ok(None) };
    let pairs = metadata.file_metadata().key_value_metadata();
    let meta = FileMeta::from_key_values(pairs.map_or(&[], Vec::as_slice));
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    if is_whole {
        return Ok(Some(Found::Whole(Box::new((meta, rows)))));
    }
    let [group] = metadata.row_groups() else { return Ok(None) };
    let Some(at) = data_length(group).and_then(|length| footer_at.checked_sub(length)) else {
        return Ok(None);
    };
    let mut magic = [0; 4];
    read_at(file, &mut magic, at)?;
    if magic != *MAGIC {
        return Ok(None);
    }
    let last_seq = highest(group, "seq").map(i64::cast_unsigned);
    let last_ts = highest(group, "ts");
    let segment = Segment::new(at, &footer)?;
    Ok(Some(Found::Segment(Box::new(FoundSegment { segment, rows, last_seq, last_ts, meta }))))
}

fn read_at(file: &mut (impl Read + Seek), bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

/// Bytes from the beginning of a segment to its footer.
fn data_length(group: &RowGroupMetaData) -> Option<u64> {
    let ends = group.columns().iter().map(|column| {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        u64::try_from(start.checked_add(column.compressed_size())?).ok()
    });
    ends.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// The highest value of a column of 64 bits.
fn highest(group: &RowGroupMetaData, name: &str) -> Option<i64> {
    let column = group.columns().iter().find(|column| column.column_path().string() == name)?;
    match column.statistics()? {
        Statistics::Int64(statistics) => statistics.max_opt().copied(),
        _ => None,
    }
}

/// The offset just behind the last end of a segment before `end`; 0 if there is none.
fn find_magic(file: &mut (impl Read + Seek), end: u64) -> io::Result<u64> {
    // The magic that was tried already, or what cannot be one, is left out.
    let mut upper = end.saturating_sub(1);
    while upper >= SEGMENT_MAGIC.len() as u64 {
        let lower = upper.saturating_sub(WINDOW);
        let mut bytes = vec![0; usize::try_from(upper - lower).unwrap_or(0)];
        read_at(file, &mut bytes, lower)?;
        let mut windows = bytes.windows(SEGMENT_MAGIC.len());
        if let Some(position) = windows.rposition(|window| window == SEGMENT_MAGIC) {
            return Ok(lower + (position + SEGMENT_MAGIC.len()) as u64);
        }
        if lower == 0 {
            break;
        }
        // One that lies across the edge must be found too.
        upper = lower + SEGMENT_MAGIC.len() as u64 - 1;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;
    use crate::batch::{BatchBuilder, EventWriter};
    use crate::columns::Event;
    use crate::rows::EventFile;

    fn meta(end: &str) -> FileMeta {
        FileMeta { host: "h".into(), end: end.to_owned(), ..FileMeta::default() }
    }

    /// A file of three segments with two rows each, and where each ends.
    fn segments() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![];
        let mut ends = vec![];
        let mut writer = EventWriter::new(&mut bytes).expect("writer");
        writer.set_meta(meta(""));
        let mut builder = BatchBuilder::default();
        for seq in 0..6 {
            builder.append(&Event { seq, host: "h", kind: "PARS", ..Event::default() });
            if seq % 2 == 1 {
                writer.write(&builder.finish()).expect("rows");
                writer.cut().expect("segment");
                ends.push(usize::try_from(writer.at()).expect("small"));
            }
        }
        (bytes, ends)
    }

    fn find(bytes: &[u8]) -> Chain {
        Chain::find(&mut Cursor::new(bytes)).expect("readable")
    }

    #[test]
    fn whatever_is_cut_off_the_segments_before_it_are_found() {
        let (bytes, ends) = segments();
        for length in 0..=bytes.len() {
            let chain = find(&bytes[..length]);
            let whole = ends.iter().filter(|&&end| end <= length).count();
            assert_eq!(chain.segments.len(), whole, "cut at {length}");
            assert_eq!(chain.rows(), 2 * whole as u64);
            assert_eq!(chain.end(), whole.checked_sub(1).map_or(0, |last| ends[last] as u64));
            assert_eq!(chain.last_seq(), chain.rows().checked_sub(1));
            assert!(!chain.is_finished() && chain.unreadable() == 0);
        }
    }

    #[test]
    fn nobody_takes_the_last_segment_for_the_file() {
        let (bytes, ends) = segments();
        for end in ends {
            let mut file = tempfile::tempfile().expect("file");
            file.write_all(&bytes[..end]).expect("written");
            let error = EventFile::open(file).expect_err("not a whole file");
            assert!(matches!(error, SchemaError::NotParquet { .. }), "{error}");
        }
    }

    #[test]
    fn a_damaged_segment_costs_itself_only() {
        let (mut bytes, ends) = segments();
        let tail = ends[1] - 1;
        bytes[tail] ^= 0xff;
        let chain = find(&bytes);
        assert_eq!((chain.segments.len(), chain.rows()), (2, 4));
        assert_eq!(chain.unreadable(), (ends[1] - ends[0]) as u64);
        assert_eq!(chain.last_seq(), Some(5));
    }

    #[test]
    fn a_chain_is_gone_on_with_and_finished() {
        let (bytes, ends) = segments();
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(&bytes[..ends[1] + 10]).expect("written");
        let chain = Chain::find(&mut file).expect("readable");
        file.set_len(chain.end()).expect("cut");
        file.seek(SeekFrom::End(0)).expect("end");
        let mut writer = EventWriter::resume(file, chain);
        let mut builder = BatchBuilder::default();
        builder.append(&Event { seq: 9, host: "h", kind: "clock", ..Event::default() });
        writer.write(&builder.finish()).expect("rows");
        let mut file = writer.finish(&meta("e")).expect("finished");
        assert!(Chain::find(&mut file).expect("readable").is_finished());
        let file = EventFile::open(file).expect("an event file");
        assert_eq!((file.rows(), file.meta().end.as_str()), (5, "e"));
        let mut seen = vec![];
        for batch in file.batches(&[]).expect("batches") {
            let batch = batch.expect("readable");
            let columns = batch.columns().expect("columns");
            seen.extend((0..batch.len()).filter_map(|row| columns.seq.get(row)));
        }
        assert_eq!(seen, [0, 1, 2, 3, 9]);
    }

    #[test]
    fn a_file_that_is_something_else_has_no_segments() {
        for bytes in
            [&b""[..], b"PAR1", b"PAR1PARSPAR1\x04\0\0\0PARS", b"PAR1\0\0\0\0PAR1", &[0xff; 300]]
        {
            assert_eq!(find(bytes).segments.len(), 0);
        }
    }
}
