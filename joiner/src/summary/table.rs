//! The summary for people.

use std::fmt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use schema::annotation::escape;

use super::Summary;
use crate::clock::estimate::{Estimate, Use};
use crate::events::RecordingInfo;

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
                shown(path)
            )?;
        }
        for path in &self.twice {
            writeln!(f, "{} is given twice; read once", shown(path))?;
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

/// A file may be called anything.
fn shown(path: &Path) -> String {
    escape::printable(&path.to_string_lossy()).into_owned()
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
    write!(f, "{}", shown(&info.path))?;
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
