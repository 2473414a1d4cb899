//! Tables of measurements: medians, with the least and the most of all rounds.

use crate::corpus::Truth;
use crate::tool::{TOOLS, Usage};

/// Median, least and most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        // Of an even number of values, the mean of the two in the middle.
        let below = if values.len().is_multiple_of(2) { middle - 1 } else { middle };
        let median = (values[below] + values[middle]) / 2.0;
        Self { median, min: values[0], max: values[values.len() - 1] }
    }

    /// With this many digits behind the point.
    pub(crate) fn text(self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
    }
}

/// Seconds over those of the first tool, in the same round.
pub(crate) fn ratio(own: &[Usage], first: &[Usage]) -> Spread {
    Spread::of(own.iter().zip(first).map(|(own, first)| own.seconds / first.seconds))
}

/// What the tools took for a capture.
pub(crate) fn print(truth: &Truth, usages: &[Vec<Usage>]) {
    println!(
        "  {:<21}{:>22}{:>18}{:>8}{:>7}{:>20}{:>9}",
        "", "seconds", "CPU s", "Mpkt/s", "GB/s", "time / ebpfjoin's", "peak MB"
    );
    for (tool, own) in TOOLS.iter().zip(usages) {
        let seconds = Spread::of(own.iter().map(|usage| usage.seconds));
        println!(
            "  {:<21}{:>22}{:>18}{:>8.2}{:>7.2}{:>20}{:>9.1}",
            tool.name,
            seconds.text(3),
            Spread::of(own.iter().map(|usage| usage.cpu)).text(2),
            truth.packets as f64 / 1e6 / seconds.median,
            truth.bytes as f64 / 1e9 / seconds.median,
            ratio(own, &usages[0]).text(2),
            own.iter().map(|usage| usage.peak).fold(0.0, f64::max) / 1e6,
        );
    }
}
