//! The line that shows on a terminal how a recording goes.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::summary::{format_bytes, group};

/// How often the line changes.
const REFRESH: Duration = Duration::from_millis(500);

/// What the line shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Rows so far, if events are recorded.
    pub rows: Option<u64>,
    /// Packets so far, if packets are.
    pub packets: Option<u64>,
    /// Things lost so far, at all stages.
    pub lost: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// The line. Without a terminal there is none.
pub struct Status {
    bar: ProgressBar,
    last: (Instant, Figures),
    drawn: bool,
}

impl Status {
    /// On standard error, unless `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is a constant; the default line would do as well.
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, last: (Instant::now(), Figures::default()), drawn: false }
    }

    /// Shows new figures, if it is time.
    pub fn update(&mut self, figures: Figures) {
        let (at, before) = self.last;
        let passed = at.elapsed();
        if self.bar.is_hidden() || (self.drawn && passed < REFRESH) {
            return;
        }
        self.bar.set_message(line(&before, &figures, passed));
        self.last = (Instant::now(), figures);
        self.drawn = true;
    }

    /// Takes the line away while `say` writes one of its own.
    pub fn aside(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(before: &Figures, now: &Figures, passed: Duration) -> String {
    let rate = |before: Option<u64>, now: u64| {
        let more = now.saturating_sub(before.unwrap_or(0)) as f64;
        more / passed.as_secs_f64().max(0.001)
    };
    let mut parts = vec![];
    if let Some(rows) = now.rows {
        parts.push(format!("{} events ({:.0}/s)", group(rows), rate(before.rows, rows)));
    }
    if let Some(packets) = now.packets {
        parts.push(format!("{} packets ({:.0}/s)", group(packets), rate(before.packets, packets)));
    }
    parts.push(format!("{} lost", group(now.lost)));
    parts.push(format_bytes(now.bytes));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_what_is_recorded_and_how_fast() {
        let before = Figures { rows: Some(1000), packets: None, lost: 0, bytes: 0 };
        let now = Figures { rows: Some(3000), packets: None, lost: 5, bytes: 4096 };
        let text = line(&before, &now, Duration::from_secs(2));
        assert_eq!(text, "3,000 events (1000/s)  5 lost  4.00 KiB");
    }
}
