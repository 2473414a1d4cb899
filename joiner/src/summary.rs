//! What a run adds up to: counted per chunk, merged in order, shown as a table or as JSON.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use schema::annotation::escape;
use schema::annotation::{Match, Reason, Rule};
use serde_json::{Map, Value, json};

use crate::attribute::{SideVerdict, Verdict};
use crate::chunk::Damage;
use crate::clock::estimate::{Estimate, Use};
use crate::events::RecordingInfo;

const RULES: usize = Rule::ALL.len();

/// How one end of the packets was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideCounts {
    /// By rule, without and with translation.
    matches: [[u64; RULES]; 2],
    reasons: [u64; Reason::ALL.len()],
}

impl SideCounts {
    fn add(&mut self, side: &SideVerdict) {
        match side {
            SideVerdict::Named { found, .. } => {
                self.matches[usize::from(found.nat)][found.rule as usize] += 1;
            }
            SideVerdict::Unnamed(reason) => self.reasons[*reason as usize] += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in
            self.matches.as_flattened_mut().iter_mut().zip(other.matches.as_flattened())
        {
            *mine += theirs;
        }
        for (mine, theirs) in self.reasons.iter_mut().zip(other.reasons) {
            *mine += theirs;
        }
    }

    /// Packets with a name at this end.
    #[must_use]
    pub fn named(&self) -> u64 {
        self.matches.as_flattened().iter().sum()
    }

    /// Every match that occurred, most certain first.
    fn by_match(&self) -> impl Iterator<Item = (Match, u64)> {
        [false, true].into_iter().flat_map(move |nat| {
            Rule::ALL.iter().map(move |&rule| {
                (Match { nat, rule }, self.matches[usize::from(nat)][rule as usize])
            })
        })
    }

    fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|&reason| (reason, self.reasons[reason as usize]))
    }

    fn json(&self) -> Value {
        let matches = self.by_match().map(|(found, count)| (found.to_string(), count));
        let reasons = self.by_reason().map(|(reason, count)| (reason.to_string(), count));
        json!({
            "named": self.named(),
            "by_match": non_zero(matches),
            "by_reason": non_zero(reasons),
        })
    }
}

fn non_zero(counts: impl Iterator<Item = (String, u64)>) -> Map<String, Value> {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect()
}

/// How both ends of the packets were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packet blocks and records.
    pub packets: u64,
    /// The sending end.
    pub src: SideCounts,
    /// The receiving end.
    pub dst: SideCounts,
}

impl Counts {
    /// Counts one packet.
    pub fn add(&mut self, verdict: &Verdict) {
        self.packets += 1;
        self.src.add(&verdict.src);
        self.dst.add(&verdict.dst);
    }

    /// Adds the counts of another chunk.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.src.merge(&other.src);
        self.dst.merge(&other.dst);
    }
}

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
            "unfinished": self.unfinished.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "damage": self.damage.as_ref().map(|damage| {
                json!({ "offset": damage.offset, "packets": damage.packets, "what": damage.what })
            }),
        })
    }
}

/// The table for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets = self.counts.packets;
        writeln!(
            f,
            "{packets} packets, {} annotated, {:+.1} bytes a packet, {} -> {} bytes, {:.2} s ({:.0} packets/s)",
            self.annotated,
            self.growth_per_packet(),
            self.bytes_in,
            self.bytes_out,
            self.elapsed.as_secs_f64(),
            self.packets_per_second(),
        )?;
        for info in &self.recordings {
            write_recording(f, info)?;
        }
        for path in &self.unfinished {
            writeln!(
                f,
                "{}: not finished, LEFT OUT (`ebpfrec recover` if it was cut off)",
                path.display()
            )?;
        }
        for (host, clock) in &self.clocks {
            write_clock(f, host, clock)?;
        }
        writeln!(f, "{:<22}{:>12}{:>20}", "", "source", "destination")?;
        let (src, dst) = (&self.counts.src, &self.counts.dst);
        write_row(f, "named", src.named(), dst.named(), packets)?;
        for ((found, src), (_, dst)) in src.by_match().zip(dst.by_match()) {
            write_row(f, &format!("  {found}"), src, dst, packets)?;
        }
        write_row(f, "unnamed", packets - src.named(), packets - dst.named(), packets)?;
        for ((reason, src), (_, dst)) in src.by_reason().zip(dst.by_reason()) {
            write_row(f, &format!("  {reason}"), src, dst, packets)?;
        }
        if self.cut_options > 0 {
            writeln!(
                f,
                "copied as they were, because their options are cut: {}",
                self.cut_options
            )?;
        }
        Ok(())
    }
}

/// Nothing, where the clocks agree, or nothing tells that they don't.
fn write_clock(f: &mut fmt::Formatter<'_>, host: &str, clock: &Estimate) -> fmt::Result {
    if clock.use_ == Use::NotNeeded {
        return Ok(());
    }
    let mut name = String::new();
    escape::encode(host, &mut name);
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    let seconds = |ns: i64| ns as f64 / 1e9;
    write!(f, "clock of {name}: capture ahead by {:+.6} s", seconds(clock.offset_ns))?;
    if clock.drift != 0.0 {
        write!(f, ", {:+.2} ppm", clock.drift * 1e6)?;
    }
    let spread = seconds(clock.spread_ns);
    writeln!(f, " (spread {spread:.6} s, {} connections): {}", clock.pairs, clock.use_)
}

fn write_recording(f: &mut fmt::Formatter<'_>, info: &RecordingInfo) -> fmt::Result {
    let mut host = String::new();
    escape::encode(&info.host, &mut host);
    write!(f, "{}", info.path.display())?;
    if info.parts > 1 {
        write!(f, " and {} more parts", info.parts - 1)?;
    }
    write!(f, ": host {host}, {} rows, ", info.rows)?;
    if info.start_ns <= info.end_ns {
        let (from, to) = (time(info.start_ns), time(info.end_ns));
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let seconds = info.end_ns.saturating_sub(info.start_ns) as f64 / 1e9;
        write!(f, "{from} to {to} ({seconds:.1} s)")?;
    } else {
        write!(f, "no time known")?;
    }
    if !info.complete {
        write!(f, ", INCOMPLETE (no clean end)")?;
    }
    for (stage, count) in info.lost.iter().filter(|(_, count)| *count > 0) {
        let mut text = String::new();
        escape::encode(stage, &mut text);
        write!(f, ", LOST {count} ({text})")?;
    }
    if info.missing_rows > 0 {
        write!(f, ", LOST {} rows without a word", info.missing_rows)?;
    }
    if info.missing_parts > 0 {
        write!(f, ", {} earlier parts are not there", info.missing_parts)?;
    }
    writeln!(f)
}

/// RFC 3339 in UTC; nanoseconds since 1970.
fn time(ns: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, src: u64, dst: u64, all: u64) -> fmt::Result {
    if src == 0 && dst == 0 {
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = |count: u64| 100.0 * count as f64 / all.max(1) as f64;
    writeln!(f, "{name:<22}{src:>12} {:>5.1} %{dst:>12} {:>5.1} %", share(src), share(dst))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Holder, Via};
    use crate::events::{ConversationId, IdentityId};

    fn summary() -> Summary {
        let named = |nat, rule| SideVerdict::Named {
            holder: Holder::Conversation(ConversationId(0)),
            owner: IdentityId(0),
            found: Match { nat, rule },
            via: Via::Nobody,
        };
        let mut counts = Counts::default();
        counts.add(&Verdict { src: named(false, Rule::Exact), dst: named(true, Rule::Exact) });
        counts.add(&Verdict {
            src: named(false, Rule::Early),
            dst: SideVerdict::Unnamed(Reason::Remote),
        });
        let mut other = Counts::default();
        other.add(&Verdict::none(Reason::NotIp));
        other.add(&Verdict::none(Reason::InLoss));
        counts.merge(&other);
        let start_ns = 1_700_000_000_000_000_000;
        let whole = RecordingInfo {
            path: "a.parquet".into(),
            recording: "r".into(),
            parts: 0,
            missing_parts: 0,
            missing_rows: 0,
            host: "web-1".into(),
            start_ns,
            end_ns: start_ns + 61_500_000_000,
            complete: true,
            rows: 12,
            lost: vec![("ring".into(), 0)],
        };
        let cut = RecordingInfo {
            path: "b.parquet".into(),
            host: "\x1b[2Jevil".into(),
            start_ns: i64::MAX,
            end_ns: i64::MIN,
            complete: false,
            parts: 3,
            missing_parts: 2,
            missing_rows: 9,
            lost: vec![("ring".into(), 3), ("con\ntrack".into(), 1)],
            ..whole.clone()
        };
        Summary {
            capture: "in.pcap".into(),
            output: "out.pcapng".into(),
            recordings: vec![whole, cut],
            unfinished: vec!["d/c.parquet.partial".into()],
            clocks: vec![],
            captured_on: None,
            counts,
            annotated: 2,
            cut_options: 1,
            growth: 202,
            bytes_in: 4000,
            bytes_out: 4202,
            elapsed: Duration::from_millis(500),
            damage: Some(Damage { offset: 77, packets: 4, what: "cut off".into() }),
        }
    }

    #[test]
    fn the_table_tells_every_match_reason_and_loss() {
        assert_eq!(
            summary().to_string(),
            "\
4 packets, 2 annotated, +50.5 bytes a packet, 4000 -> 4202 bytes, 0.50 s (8 packets/s)
a.parquet: host web-1, 12 rows, 2023-11-14T22:13:20Z to 2023-11-14T22:14:21Z (61.5 s)
b.parquet and 2 more parts: host %1B[2Jevil, 12 rows, no time known, INCOMPLETE (no clean end), LOST 3 (ring), LOST 1 (con%0Atrack), LOST 9 rows without a word, 2 earlier parts are not there
d/c.parquet.partial: not finished, LEFT OUT (`ebpfrec recover` if it was cut off)
                            source         destination
named                            2  50.0 %           1  25.0 %
  exact                          1  25.0 %           0   0.0 %
  early                          1  25.0 %           0   0.0 %
  nat+exact                      0   0.0 %           1  25.0 %
unnamed                          2  50.0 %           3  75.0 %
  not-ip                         1  25.0 %           1  25.0 %
  remote                         0   0.0 %           1  25.0 %
  in-loss                        1  25.0 %           1  25.0 %
copied as they were, because their options are cut: 1
"
        );
    }

    #[test]
    fn the_numbers_for_scripts_are_the_same() {
        let json = summary().json();
        assert_eq!(json["packets"], 4);
        assert_eq!(json["source"]["by_match"], json!({ "exact": 1, "early": 1 }));
        assert_eq!(json["destination"]["named"], 1);
        assert_eq!(
            json["destination"]["by_reason"],
            json!({ "not-ip": 1, "remote": 1, "in-loss": 1 })
        );
        assert_eq!(json["growth_per_packet"], 50.5);
        assert_eq!(json["recordings"][1]["lost"], json!({ "ring": 3, "con\ntrack": 1 }));
        assert_eq!(json["recordings"][1]["complete"], false);
        assert_eq!(json["damage"], json!({ "offset": 77, "packets": 4, "what": "cut off" }));
    }
}
