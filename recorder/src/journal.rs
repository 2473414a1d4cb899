//! The journal beside an event file: the rows that are not in a row group yet, in a form that
//! survives whatever ends the program. It is written over from its beginning as soon as a row group
//! took them, so it stays as small as one.
//!
//! ```text
//! file:  frame with the header, frame with rows, frame with rows, …, older bytes
//! frame: u32 length of the payload │ u32 CRC-32 of what follows │ u32 generation │ payload
//! rows:  per stage the things lost so far, LEB128 │ rows (`schema::compact`)
//! ```
//!
//! Little-endian. The header has generation 0; rows are of the generation that the first of them
//! is of, up to the first frame that is not, or is not whole. A kill leaves every page that was
//! written, in order, so nothing is synced here; a row may also be in a row group by then, which
//! its `seq` tells.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use schema::{
    Event, SchemaError,
    compact::{Decoder, Encoder, layout, read_varint, write_varint},
    kind::LossStage,
    meta::FileMeta,
    rows::EventBatch,
};
use serde::{Deserialize, Serialize};

use crate::{
    loss::STAGES,
    output::{OutputError, Reserve, Room, beside, create_beside},
};

/// What the journal of an event file is called, behind the file's name.
pub const JOURNAL: &str = ".journal";

/// Bytes from which on a row group is due, however few rows it has.
pub const MAX_BYTES: u64 = 8 << 20;

/// Bytes of a frame before its payload.
const HEAD: usize = 12;
/// Bytes of a payload at most: a batch of rows that all have arguments of their own, of the
/// greatest length, is half of it.
const MAX_PAYLOAD: u32 = 64 << 20;

/// What is known of the recording before its first row.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Header {
    /// The file's metadata.
    meta: Vec<(String, String)>,
    /// Names of the stages whose losses every frame counts.
    stages: Vec<String>,
    /// Names and types of the columns.
    columns: Vec<(String, String)>,
    /// The packet file that is written at the same time.
    packets: Option<String>,
}

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    reserve: Reserve,
    /// Where rows begin.
    start: u64,
    at: u64,
    generation: u32,
    encoder: Encoder,
    frame: Vec<u8>,
}

impl Journal {
    /// Creates the journal of the event file `path`, with nothing in it.
    ///
    /// # Errors
    /// [`OutputError`]
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let file = create_beside(path, JOURNAL)?;
        let name = beside(path, JOURNAL);
        let reserve = Reserve::of(&file, path, 1).inspect_err(|_| {
            // The error that counts is that there is no room.
            let _ = fs::remove_file(&name);
        })?;
        Ok(Self {
            file,
            path: name,
            reserve,
            start: 0,
            at: 0,
            generation: 1,
            encoder: Encoder::default(),
            frame: vec![],
        })
    }

    /// Writes what is known before the first row: `meta`, and the packet file written at the same
    /// time.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(&mut self, meta: &FileMeta, packets: Option<&Path>) -> io::Result<()> {
        let pairs = meta.to_key_values().into_iter();
        let header = Header {
            meta: pairs.filter_map(|pair| Some((pair.key, pair.value?))).collect(),
            stages: LossStage::ALL.iter().map(|stage| stage.as_str().to_owned()).collect(),
            columns: layout(),
            // A name that is not text can be given to `recover` by hand.
            packets: packets.and_then(Path::to_str).map(str::to_owned),
        };
        self.frame.resize(HEAD, 0);
        serde_json::to_writer(&mut self.frame, &header)?;
        self.put(0)?;
        self.start = self.at;
        Ok(())
    }

    /// Adds rows, and what was lost until now. With [`Room::Full`] nothing was added.
    ///
    /// # Errors
    /// What the system says, or that the batch is none of events.
    pub fn append(&mut self, batch: &EventBatch, lost: [u64; STAGES]) -> Result<Room, SchemaError> {
        self.frame.resize(HEAD, 0);
        for count in lost {
            write_varint(count, &mut self.frame);
        }
        self.encoder.encode(batch, &mut self.frame)?;
        if self.reserve.up_to(self.at + self.frame.len() as u64)? == Room::Full {
            return Ok(Room::Full);
        }
        self.put(self.generation)?;
        Ok(Room::Enough)
    }

    /// Writes the frame.
    fn put(&mut self, generation: u32) -> io::Result<()> {
        let length = u32::try_from(self.frame.len() - HEAD).unwrap_or(u32::MAX);
        self.frame[8..12].copy_from_slice(&generation.to_le_bytes());
        let checksum = crc32fast::hash(&self.frame[8..]);
        self.frame[..4].copy_from_slice(&length.to_le_bytes());
        self.frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&self.frame, self.at)?;
        self.at += self.frame.len() as u64;
        self.frame.clear();
        Ok(())
    }

    /// Begins anew: the rows so far are in a row group.
    pub fn restart(&mut self) {
        self.at = self.start;
        self.generation = self.generation.wrapping_add(1).max(1);
        self.encoder = Encoder::default();
    }

    /// Bytes in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Removes it: the event file is whole and has its name.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Of a recording that never began. If it cannot be removed, there is nothing in it.
        if self.at == 0 {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a journal says beside its rows.
#[derive(Debug, Default)]
pub struct Contents {
    /// The metadata of the event file, as they were at its start; `None` if the header can't be
    /// read.
    pub meta: Option<FileMeta>,
    /// The packet file of the same recording.
    pub packets: Option<PathBuf>,
    /// Rows.
    pub rows: u64,
    /// Stage → things lost until the last row.
    pub lost: Vec<(String, u64)>,
}

/// Reads what is whole of the journal in `file`, and hands every row to `row`.
///
/// # Errors
/// The file can't be read, or is of a newer recorder. What is damaged ends the reading, without an
/// error.
pub fn read(file: &File, mut row: impl FnMut(&Event<'_>)) -> Result<Contents, SchemaError> {
    let mut contents = Contents::default();
    let length = file.metadata()?.len();
    let mut at = 0;
    let Some((0, header)) = next_frame(file, &mut at, length)? else { return Ok(contents) };
    let Ok(header) = serde_json::from_slice::<Header>(&header) else { return Ok(contents) };
    let pairs = header.meta.into_iter().map(|(key, value)| schema::meta::pair(key, value));
    contents.meta = Some(FileMeta::from_key_values(&pairs.collect::<Vec<_>>())?);
    contents.packets = header.packets.map(PathBuf::from);
    let mut decoder = Decoder::new(&header.columns);
    let mut generation = None;
    while let Some((of, payload)) = next_frame(file, &mut at, length)? {
        if *generation.get_or_insert(of) != of {
            break;
        }
        let mut rest = &payload[..];
        let counts = header.stages.iter().map(|_| read_varint(&mut rest));
        let Some(counts) = counts.collect::<Option<Vec<_>>>() else { break };
        let decoded = decoder.decode(rest, |event| {
            contents.rows += 1;
            row(event);
        });
        if decoded.is_err() {
            break;
        }
        contents.lost = header.stages.iter().cloned().zip(counts).collect();
    }
    Ok(contents)
}

/// Generation and payload of the frame at `at`, which moves behind it; `None` if there is none, or
/// not a whole one.
fn next_frame(file: &File, at: &mut u64, length: u64) -> io::Result<Option<(u32, Vec<u8>)>> {
    let left = length.saturating_sub(*at);
    if left < HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, *at)?;
    let word = |index: usize| u32::from_le_bytes(std::array::from_fn(|i| head[index * 4 + i]));
    let (payload, checksum, generation) = (word(0), word(1), word(2));
    if payload > MAX_PAYLOAD || u64::from(payload) > left - HEAD as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; payload as usize];
    file.read_exact_at(&mut bytes, *at + HEAD as u64)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[8..]);
    hasher.update(&bytes);
    if hasher.finalize() != checksum {
        return Ok(None);
    }
    *at += HEAD as u64 + u64::from(payload);
    Ok(Some((generation, bytes)))
}

#[cfg(test)]
mod tests;
