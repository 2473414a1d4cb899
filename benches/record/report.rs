//! What is said of the measurements: medians, with the least and the most of all rounds.

use serde_json::{Value, json};

use crate::{
    hooks::Hook,
    load::Workload,
    measure::{Turn, Used},
    tool::Tool,
};

/// Everything about one workload.
pub(crate) struct Result {
    pub(crate) workload: &'static Workload,
    pub(crate) turns: Vec<(&'static Tool, Vec<Turn>)>,
    pub(crate) hooks: Vec<Hook>,
}

/// Median, least and most.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// `None` without values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        // Of an even number of values, the mean of the two in the middle.
        let below = if values.len().is_multiple_of(2) { middle - 1 } else { middle };
        Some(Self { median: (values[below] + values[middle]) / 2.0, min, max })
    }

    fn json(self) -> Value {
        json!({"median": self.median, "min": self.min, "max": self.max})
    }

    /// With this many digits behind the point.
    fn text(self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
    }
}

fn per_second(turn: &Turn) -> f64 {
    turn.done.count / turn.done.seconds
}

fn work_us(turn: &Turn) -> f64 {
    turn.done.cpu / turn.done.count * 1e6
}

/// Percent of a core for a thousand connections or requests a second.
fn core_per_thousand(turn: &Turn, used: &Used) -> f64 {
    used.cpu / turn.done.count * 1000.0 * 100.0
}

fn used(turns: &[Turn], value: impl Fn(&Turn, &Used) -> Option<f64>) -> Option<Spread> {
    Spread::of(turns.iter().filter_map(|turn| value(turn, turn.used.as_ref()?)))
}

fn bytes_per_event(used: &Used) -> Option<f64> {
    Some(used.left.bytes as f64 / used.left.events.filter(|&events| events > 0)? as f64)
}

impl Result {
    /// Value of each turn over that of nothing in the same round.
    fn ratio(&self, turns: &[Turn], value: impl Fn(&Turn) -> f64) -> Option<Spread> {
        let base = &self.turns.first()?.1;
        Spread::of(turns.iter().zip(base).map(|(turn, base)| value(turn) / value(base)))
    }

    fn of(&self, tool: &str) -> &[Turn] {
        let found = self.turns.iter().find(|(other, _)| other.name == tool);
        found.map_or(&[], |(_, turns)| turns)
    }

    /// Two tables: tools and hooks.
    pub(crate) fn print(&self) {
        let unit = self.workload.unit;
        let rounds = self.turns.first().map_or(0, |(_, turns)| turns.len());
        println!("record/{}: median (least-most) of {rounds} rounds", self.workload.name);
        println!(
            "  {:<9}{:>10} {:<19}{:>9} {:<17}{:>8} {:<20}{:>8} {:>7} {:>8} {:>9} {:>7}",
            "",
            "per s",
            "/ nothing's",
            "work us",
            "/ nothing's",
            "p99 us",
            "% core per 1000/s",
            "finish s",
            "MiB",
            "events",
            "B/event",
            "lost"
        );
        for (tool, turns) in &self.turns {
            let median = |value: fn(&Turn) -> f64| {
                Spread::of(turns.iter().map(value)).map_or(0.0, |spread| spread.median)
            };
            let text = |spread: Option<Spread>, digits| {
                spread.map_or("-".to_owned(), |spread| spread.text(digits))
            };
            let middle = |spread: Option<Spread>, digits: usize| {
                spread.map_or("-".to_owned(), |spread| format!("{:.digits$}", spread.median))
            };
            println!(
                "  {:<9}{:>10.0} {:<19}{:>9.1} {:<17}{:>8.0} {:<20}{:>8} {:>7} {:>8} {:>9} {:>7}",
                tool.name,
                median(per_second),
                text(self.ratio(turns, per_second), 3),
                median(work_us),
                text(self.ratio(turns, work_us), 2),
                median(|turn| turn.done.p99_us),
                text(used(turns, |turn, used| Some(core_per_thousand(turn, used))), 2),
                middle(used(turns, |_, used| Some(used.finish_cpu)), 2),
                middle(used(turns, |_, used| Some(used.memory as f64 / 1_048_576.0)), 1),
                middle(used(turns, |_, used| used.left.events.map(|n| n as f64)), 0),
                middle(used(turns, |_, used| bytes_per_event(used)), 1),
                middle(used(turns, |_, used| used.left.lost.map(|n| n as f64)), 0),
            );
        }
        println!("  ns of ebpfrec's hooks{:>19} {:>9} {:>16}", "a run", "runs", "ns");
        println!("  {:<21}{:>19} {:>9} {:>16}", "", "", format!("a {unit}"), format!("a {unit}"));
        for Hook { name, runs, ns } in &self.hooks {
            println!("    {name:<19}{ns:>19.0} {runs:>9.2} {:>16.0}", ns * runs);
        }
        let total: f64 = self.hooks.iter().map(|hook| hook.runs * hook.ns).sum();
        println!("    {:<19}{:>19} {:>9} {total:>16.0}\n", "all", "", "");
    }

    fn json(&self) -> Value {
        let spread = |spread: Option<Spread>| spread.map(Spread::json);
        let tools = self.turns.iter().map(|(tool, turns)| {
            let value = json!({
                "per_second": spread(Spread::of(turns.iter().map(per_second))),
                "per_second_ratio": spread(self.ratio(turns, per_second)),
                "work_us": spread(Spread::of(turns.iter().map(work_us))),
                "work_ratio": spread(self.ratio(turns, work_us)),
                "p99_us": spread(Spread::of(turns.iter().map(|turn| turn.done.p99_us))),
                "cpu_seconds_per_1000": spread(used(turns, |turn, used| {
                    Some(core_per_thousand(turn, used) / 100.0)
                })),
                "finish_cpu_seconds": spread(used(turns, |_, used| Some(used.finish_cpu))),
                "peak_memory_bytes": spread(used(turns, |_, used| Some(used.memory as f64))),
                "events": spread(used(turns, |_, used| used.left.events.map(|n| n as f64))),
                "bytes_per_event": spread(used(turns, |_, used| bytes_per_event(used))),
                "lost": spread(used(turns, |_, used| used.left.lost.map(|n| n as f64))),
            });
            (tool.name.to_owned(), value)
        });
        let tools: serde_json::Map<_, _> = tools.collect();
        let hooks = self.hooks.iter().map(|Hook { name, runs, ns }| {
            json!({"name": name, "ns_per_run": ns, "runs_per_operation": runs})
        });
        json!({
            "workload": self.workload.name,
            "operation": self.workload.unit,
            "rate": self.workload.rate,
            "tools": tools,
            "hooks": hooks.collect::<Vec<_>>(),
        })
    }
}

/// All of it, for programs.
pub(crate) fn json(results: &[Result]) -> Value {
    Value::Array(results.iter().map(Result::json).collect())
}

/// What was set as a goal, and whether it was reached. Medians decide.
pub(crate) fn print_targets(results: &[Result]) {
    let find = |name: &str| results.iter().find(|result| result.workload.name == name);
    let say = |what: &str, found: Option<f64>, most: f64| {
        if let Some(found) = found {
            let verdict = if found <= most { "met" } else { "MISSED" };
            println!("  {what:<62}{found:>8.2}, at most {most}: {verdict}");
        }
    };
    println!("targets (a loopback connection has both its ends here: two ends)");
    for (name, most) in [("tcp-kept", 2.0), ("storm", 5.0)] {
        let ratio = find(name).and_then(|result| result.ratio(result.of("ebpfrec"), per_second));
        let lost = ratio.map(|ratio| (1.0 - ratio.median) * 100.0);
        say(&format!("{name}: throughput lost, %"), lost, most);
    }
    for name in ["storm-1000", "storm-5000", "storm"] {
        let turns = find(name).map_or(&[][..], |result| result.of("ebpfrec"));
        let median =
            |value: fn(&Turn, &Used) -> Option<f64>| used(turns, value).map(|spread| spread.median);
        let core = median(|turn, used| Some(core_per_thousand(turn, used)));
        say(&format!("{name}: % of a core per 1,000 loopback connections/s"), core, 1.0);
        let per_end = core.map(|core| core / 2.0);
        say(&format!("{name}: % of a core per 1,000 ends/s"), per_end, 1.0);
        say(
            &format!("{name}: peak memory, MiB"),
            median(|_, used| Some(used.memory as f64 / 1_048_576.0)),
            64.0,
        );
        say(&format!("{name}: bytes per event"), median(|_, used| bytes_per_event(used)), 40.0);
        let worst = used(turns, |_, used| used.left.lost.map(|lost| lost as f64));
        say(&format!("{name}: events lost in any round"), worst.map(|lost| lost.max), 0.0);
    }
}
