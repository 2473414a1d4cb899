//! What a run adds up to: counted per chunk, merged in order, shown as a table or as JSON.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::estimate::Estimate;
use crate::events::RecordingInfo;
use crate::scan::Damage;

mod counts;
mod table;
#[cfg(test)]
mod tests;

use counts::non_zero;
pub use counts::{Counts, SideCounts};

/// All that a run has to tell.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The capture.
    pub capture: PathBuf,
    /// The enriched capture.
    pub output: PathBuf,
    /// The recordings.
    pub recordings: Vec<RecordingInfo>,
    /// Event files in the folders given that are not finished, and were left out.
    pub unfinished: Vec<PathBuf>,
    /// Event files that were given twice, themselves or as a copy, and read once.
    pub twice: Vec<PathBuf>,
    /// Every host's name, and what its clock has to do with the capture's.
    pub clocks: Vec<(String, Estimate)>,
    /// The name of the host that captured, if that is known.
    pub captured_on: Option<String>,
    /// The decisions.
    pub counts: Counts,
    /// Packets with an annotation.
    pub annotated: u64,
    /// Packets left without theirs, because their options are cut.
    pub cut_options: u64,
    /// Bytes by which the packets grew.
    pub growth: i64,
    /// Bytes of the capture.
    pub bytes_in: u64,
    /// Bytes of the enriched capture.
    pub bytes_out: u64,
    /// From the first look at the event files to the renamed output.
    pub elapsed: Duration,
    /// Where the capture could not be read further.
    pub damage: Option<Damage>,
}

impl Summary {
    /// Mean growth per packet, bytes.
    #[must_use]
    pub fn growth_per_packet(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let mean = self.growth as f64 / self.counts.packets.max(1) as f64;
        mean
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn packets_per_second(&self) -> f64 {
        self.counts.packets as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The same numbers for scripts.
    #[must_use]
    pub fn json(&self) -> Value {
        let texts = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        let recording = |info: &RecordingInfo| {
            json!({
                "file": info.path.display().to_string(),
                "host": info.host,
                "start_ns": info.start_ns,
                "end_ns": info.end_ns,
                "rows": info.rows,
                "complete": info.complete,
                "parts": info.parts,
                "missing_parts": info.missing_parts,
                "missing_rows": info.missing_rows,
                "lost": non_zero(info.lost.iter().cloned()),
            })
        };
        json!({
            "capture": self.capture.display().to_string(),
            "output": self.output.display().to_string(),
            "packets": self.counts.packets,
            "annotated": self.annotated,
            "cut_options": self.cut_options,
            "source": self.counts.src.json(),
            "destination": self.counts.dst.json(),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "growth_per_packet": self.growth_per_packet(),
            "elapsed_s": self.elapsed.as_secs_f64(),
            "packets_per_s": self.packets_per_second(),
            "recordings": self.recordings.iter().map(recording).collect::<Vec<_>>(),
            "captured_on": self.captured_on,
            "clocks": self.clocks.iter().map(|(host, clock)| json!({
                "host": host,
                "pairs": clock.pairs,
                "offset_ns": clock.offset_ns,
                "drift_ppm": clock.drift * 1e6,
                "spread_ns": clock.spread_ns,
                "use": clock.use_.as_str(),
            })).collect::<Vec<_>>(),
            "unfinished": texts(&self.unfinished),
            "twice": texts(&self.twice),
            "damage": self.damage.as_ref().map(|damage| {
                json!({ "offset": damage.offset, "packets": damage.packets, "what": damage.what })
            }),
        })
    }
}
