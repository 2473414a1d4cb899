//! What a recording comes to: the table at its end, and the same as JSON.

use std::{fmt::Write as _, path::Path, time::Duration};

use schema::{Kind, kind::LossStage};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{capture::Captured, loss::Losses, parquet::Written, text::Printable};

/// A finished recording.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How long it took, seconds.
    pub elapsed_s: f64,
    /// Whether it ended because it was told to, not because something failed.
    pub complete: bool,
    /// The event file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsSummary>,
    /// The packet file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<PacketsSummary>,
    /// Stage → things lost.
    pub lost: Map<String, Value>,
}

/// What became of the events.
#[derive(Debug, Serialize)]
pub struct EventsSummary {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Files written one after the other, the sizes of all together; 0 without rotation.
    pub parts: u32,
    /// Rows in it.
    pub rows: u64,
    /// Kind → rows; kinds without rows are left out.
    pub by_kind: Map<String, Value>,
}

/// What became of the packets.
#[derive(Debug, Serialize)]
pub struct PacketsSummary {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Files written one after the other, the sizes of all together; 0 without rotation.
    pub parts: u32,
    /// In the order they were given.
    pub interfaces: Vec<InterfaceSummary>,
}

/// What became of one interface's packets.
#[derive(Debug, Serialize)]
pub struct InterfaceSummary {
    /// The interface.
    pub name: String,
    /// Packets captured.
    pub packets: u64,
    /// Packets the kernel had no room for.
    pub dropped: u64,
    /// Packets the interface itself lost.
    pub interface_dropped: u64,
    /// Why the capture on it came to an end early, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl EventsSummary {
    /// From what was written.
    #[must_use]
    pub fn new(path: &Path, written: Written) -> Self {
        let by_kind = Kind::ALL
            .iter()
            .map(|&kind| (kind.as_str().to_owned(), written.kinds[kind as usize]))
            .filter(|&(_, count)| count > 0)
            .map(|(kind, count)| (kind, count.into()))
            .collect();
        let path = path.to_string_lossy().into_owned();
        Self { path, bytes: written.bytes, parts: written.parts, rows: written.rows, by_kind }
    }
}

impl PacketsSummary {
    /// From what was captured.
    #[must_use]
    pub fn new(path: &Path, captured: Captured) -> Self {
        let interfaces = captured.interfaces.into_iter().map(|interface| InterfaceSummary {
            name: interface.name,
            packets: interface.packets,
            dropped: interface.dropped,
            interface_dropped: interface.interface_dropped,
            ended: interface.ended,
        });
        let path = path.to_string_lossy().into_owned();
        let interfaces = interfaces.collect();
        Self { path, bytes: captured.bytes, parts: captured.parts, interfaces }
    }
}

impl Summary {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        elapsed: Duration,
        complete: bool,
        events: Option<EventsSummary>,
        packets: Option<PacketsSummary>,
        losses: &Losses,
    ) -> Self {
        let elapsed_s = elapsed.as_secs_f64();
        Self { elapsed_s, complete, events, packets, lost: losses.to_json() }
    }

    /// The table, each line ended.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "ebpfrec: recorded {:.1} s", self.elapsed_s)?;
        if let Some(events) = &self.events {
            let (path, size) = (Printable::text(&events.path), format_bytes(events.bytes));
            let parts = in_parts(events.parts);
            writeln!(out, "  events   {path}  {} rows, {size}{parts}", group(events.rows))?;
            for (kind, count) in &events.by_kind {
                writeln!(out, "           {kind:<18} {:>12}", group(count.as_u64().unwrap_or(0)))?;
            }
        }
        if let Some(packets) = &self.packets {
            let (path, size) = (Printable::text(&packets.path), format_bytes(packets.bytes));
            writeln!(out, "  packets  {path}  {size}{}", in_parts(packets.parts))?;
            for interface in &packets.interfaces {
                write!(
                    out,
                    "           {:<18} {:>12}",
                    Printable::text(&interface.name).to_string(),
                    group(interface.packets)
                )?;
                let lost = interface.dropped + interface.interface_dropped;
                if lost > 0 {
                    write!(out, "  ({} dropped)", group(lost))?;
                }
                if let Some(reason) = &interface.ended {
                    write!(out, "  (ended early: {})", Printable::text(reason))?;
                }
                writeln!(out)?;
            }
        }
        let lost: Vec<_> = self
            .lost
            .iter()
            .filter_map(|(stage, count)| Some((stage, count.as_u64().filter(|&count| count > 0)?)))
            .map(|(stage, count)| format!("{} {}", group(count), describe(stage)))
            .collect();
        let lost = if lost.is_empty() { "nothing".to_owned() } else { lost.join("; ") };
        writeln!(out, "  lost     {lost}")
    }
}

/// In how many files something is, if it is in parts.
fn in_parts(parts: u32) -> String {
    match parts {
        0 => String::new(),
        1 => ", 1 part".to_owned(),
        parts => format!(", {parts} parts"),
    }
}

/// What a count of this stage counts, and what helps.
fn describe(stage: &str) -> &str {
    match LossStage::from_text(stage) {
        Some(LossStage::Ring) => "events in the ring (raise --ring-size)",
        Some(LossStage::Channel) => "events on the way to the file (a faster disk helps)",
        Some(LossStage::Sockets) => "entries of full socket tables",
        Some(LossStage::Conntrack) => "times that translations could not be read in time",
        Some(LossStage::Capture) => "packets in the capture (a filter or --snaplen helps)",
        Some(LossStage::Disk) => "events or packets for want of disk space",
        Some(LossStage::Hook) => {
            "times at most that the kernel left a hook out (other tracing does it)"
        }
        _ => stage,
    }
}

/// A number with its thousands apart.
#[must_use]
pub fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size for people.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(group(number), want);
        }
    }

    #[test]
    fn the_table_says_what_was_lost_and_what_helps() {
        let losses = Losses::default();
        let packets = PacketsSummary {
            path: "t\u{1b}.pcapng".to_owned(),
            bytes: 2048,
            parts: 0,
            interfaces: vec![InterfaceSummary {
                name: "lo".to_owned(),
                packets: 1000,
                dropped: 3,
                interface_dropped: 0,
                ended: Some("The interface disappeared".to_owned()),
            }],
        };
        let mut kinds = [0; Kind::ALL.len()];
        kinds[Kind::TcpConnect as usize] = 12;
        let written = Written { rows: 12, bytes: 10, parts: 3, kinds };
        let events = EventsSummary::new(Path::new("ev.parquet"), written);
        let elapsed = Duration::from_millis(1234);
        let clean = Summary::new(elapsed, true, Some(events), None, &losses);
        assert_eq!(
            clean.table(),
            "ebpfrec: recorded 1.2 s\n  events   ev.parquet  12 rows, 10 B, 3 parts\n           \
             tcp_connect                  12\n  lost     nothing\n"
        );
        losses.add(LossStage::Capture, 3);
        let lossy = Summary::new(elapsed, true, None, Some(packets), &losses);
        assert_eq!(
            lossy.table(),
            "ebpfrec: recorded 1.2 s\n  packets  t\\u{1b}.pcapng  2.00 KiB\n           \
             lo                        1,000  (3 dropped)  (ended early: The interface \
             disappeared)\n  lost     3 packets in the capture \
             (a filter or --snaplen helps)\n"
        );
    }
}
