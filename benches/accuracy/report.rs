//! Tables: median of the workloads, least and most.

use std::collections::BTreeSet;

use crate::join::Said;
use crate::score::{Counts, Outcome, Score};
use crate::truth::Truth;
use crate::{TOLD, is_mistake};

/// An end that was not named as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub(crate) frame: usize,
    pub(crate) side: usize,
    pub(crate) scene: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) said: Said,
    pub(crate) truth: Truth,
}

/// One workload's outcome.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) packets: usize,
    pub(crate) rows: usize,
    pub(crate) joined: Score,
    /// Who is behind proxies.
    pub(crate) behind: Score,
    pub(crate) others: [Score; 2],
    mistakes: Vec<Mistake>,
}

impl Run {
    pub(crate) fn note(&mut self, mistake: Mistake) {
        let same = |known: &&Mistake| {
            (known.outcome, known.scene, &known.said.how)
                == (mistake.outcome, mistake.scene, &mistake.said.how)
        };
        if is_mistake(mistake.outcome) && self.mistakes.iter().filter(same).count() < TOLD {
            self.mistakes.push(mistake);
        }
    }
}

const OTHERS: [&str; 2] = ["last event of the tuple", "256 slots, keys not compared"];

/// One line as a workload is done; what went wrong in it.
pub(crate) fn print_progress(seed: u64, run: &Run) {
    let Run { packets, rows, joined, behind, .. } = run;
    let ends = [joined, behind].map(|score| {
        let Counts { right, wrong, guessed, missed, unnamed } = score.total;
        format!("{right} right, {unnamed} rightly unnamed, {guessed} guessed, {missed} missed, {wrong} wrong")
    });
    eprintln!(
        "seed {seed}: {rows} events, {packets} packets: {}; behind proxies: {}",
        ends[0], ends[1]
    );
    for Mistake { frame, side, scene, outcome, said, truth } in &run.mistakes {
        let end = ["source", "destination"][*side];
        let [said_who, true_who] = [&said.who, &truth.who].map(|who| match who {
            Some(who) => format!("{} {}", who.pid, who.comm),
            None => "nobody".to_owned(),
        });
        eprintln!(
            "  {outcome:?}: frame {frame} ({scene}), {end}: {said_who} ({}), truly {true_who}",
            said.how
        );
    }
}

/// `median (least-most)`.
fn spread(values: impl Iterator<Item = u64>) -> String {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let (least, most) = (values[0], values[values.len() - 1]);
    let median = values[values.len() / 2];
    if least == most { median.to_string() } else { format!("{median} ({least}-{most})") }
}

fn spread_percent(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    // Never rounded up to all of them.
    let down = |value: f64| (value * 100.0).floor() / 100.0;
    let median = down(values[values.len() / 2]);
    if down(least) == down(most) {
        format!("{median:.2} %")
    } else {
        format!("{median:.2} % ({:.2}-{:.2})", down(least), down(most))
    }
}

type Column = fn(&Counts) -> u64;

const COLUMNS: [(&str, Column); 5] = [
    ("right", |counts| counts.right),
    ("wrong", |counts| counts.wrong),
    ("guessed", |counts| counts.guessed),
    ("missed", |counts| counts.missed),
    ("rightly unnamed", |counts| counts.unnamed),
];

/// The rows of a table: a label, then what each run counted under it.
struct Line<'a> {
    label: String,
    counts: Vec<Counts>,
    scores: Option<Vec<&'a Score>>,
}

impl Line<'_> {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.label.clone()];
        for (_, column) in COLUMNS {
            cells.push(spread(self.counts.iter().map(column)));
        }
        let percent = |score: &&Score| score.total.named(score.knowable);
        cells.push(match &self.scores {
            Some(scores) => spread_percent(scores.iter().map(percent)),
            None => String::new(),
        });
        cells
    }
}

fn total<'a>(label: &str, scores: Vec<&'a Score>) -> Line<'a> {
    let counts = scores.iter().map(|score| score.total).collect();
    Line { label: label.to_owned(), counts, scores: Some(scores) }
}

fn by_how<'a>(scores: &[&Score]) -> Vec<Line<'a>> {
    let labels: BTreeSet<&String> = scores.iter().flat_map(|score| score.how.keys()).collect();
    let line = |label: &String| Line {
        label: label.clone(),
        counts: scores.iter().map(|s| s.how.get(label).copied().unwrap_or_default()).collect(),
        scores: None,
    };
    let (matches, reasons): (Vec<_>, Vec<_>) = labels.into_iter().map(line).partition(|line| {
        line.counts.iter().any(|counts| counts.right + counts.wrong + counts.guessed > 0)
    });
    matches.into_iter().chain(reasons).collect()
}

fn by_scene<'a>(scores: &[&Score]) -> Vec<Line<'a>> {
    let labels: BTreeSet<&str> =
        scores.iter().flat_map(|score| score.scenes.keys().copied()).collect();
    let line = |label: &str| Line {
        label: label.to_owned(),
        counts: scores.iter().map(|s| s.scenes.get(label).copied().unwrap_or_default()).collect(),
        scores: None,
    };
    labels.into_iter().map(line).collect()
}

fn totals(runs: &[Run]) -> Vec<Line<'_>> {
    let mut lines = vec![total("ebpfjoin", runs.iter().map(|run| &run.joined).collect())];
    for (n, name) in OTHERS.iter().enumerate() {
        lines.push(total(name, runs.iter().map(|run| &run.others[n]).collect()));
    }
    lines
}

fn print_plain(title: &str, lines: &[Line<'_>]) {
    println!("\n{title}");
    print!("  {:<30}", "");
    for (name, _) in COLUMNS {
        print!("{name:>24}");
    }
    println!("{:>26}", "of the knowable");
    for line in lines {
        let cells = line.cells();
        print!("  {:<30}", cells[0]);
        for cell in &cells[1..6] {
            print!("{cell:>24}");
        }
        println!("{:>26}", cells[6]);
    }
}

/// Everything, to be read on a screen.
pub(crate) fn print_tables(runs: &[Run]) {
    let joined: Vec<_> = runs.iter().map(|run| &run.joined).collect();
    let behind: Vec<_> = runs.iter().map(|run| &run.behind).collect();
    println!("ends of packets: median (least-most) of {} workloads", runs.len());
    print_plain("all", &totals(runs));
    print_plain("ebpfjoin, by match or reason", &by_how(&joined));
    print_plain("ebpfjoin, by scene", &by_scene(&joined));
    print_plain("ebpfjoin, behind proxies", &[total("all", behind.clone())]);
    print_plain("by match or reason", &by_how(&behind));
    for (n, name) in OTHERS.iter().enumerate() {
        let scores: Vec<_> = runs.iter().map(|run| &run.others[n]).collect();
        print_plain(&format!("{name}, by scene"), &by_scene(&scores));
    }
}

/// The tables of docs/accuracy.md, the first of which is in the README, too.
pub(crate) fn print_markdown(flows: usize, runs: &[Run]) {
    let joined: Vec<_> = runs.iter().map(|run| &run.joined).collect();
    let behind =
        total("`ebpfjoin`, who is behind a proxy", runs.iter().map(|r| &r.behind).collect());
    println!("{flows} flows, median (least-most) of {} workloads:\n", runs.len());
    println!(
        "| ends of packets | right | wrong | guessed | missed | rightly unnamed | of the knowable |"
    );
    println!("|---|---|---|---|---|---|---|");
    for line in totals(runs).iter().chain([&behind]) {
        println!("| {} |", line.cells().join(" | "));
    }
    println!("\n| match or reason | right | wrong | guessed | missed | rightly unnamed |");
    println!("|---|---|---|---|---|---|");
    for line in by_how(&joined) {
        let cells = line.cells();
        println!("| `{}` | {} |", cells[0], cells[1..6].join(" | "));
    }
}
