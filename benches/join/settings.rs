//! What was asked for on the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::corpus::{SHAPES, Shape};

/// Rounds, unless told otherwise: enough for a median that one disturbance does not move.
const ROUNDS: usize = 7;
/// Beside the shapes: today's pipeline of scripts, and memory.
const OTHERS: [&str; 2] = ["script", "memory"];

/// What to do.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Cases by name; all if there are none.
    cases: Vec<String>,
    packets: Option<u64>,
    pub(crate) rounds: usize,
    /// Where inputs stay, if they do.
    pub(crate) keep: Option<PathBuf>,
    /// Only write the inputs of a shape into a folder.
    pub(crate) write: Option<(&'static Shape, PathBuf)>,
}

impl Settings {
    /// Reads them.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut settings =
            Self { cases: vec![], packets: None, rounds: ROUNDS, keep: None, write: None };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs one more word"));
            match arg.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--packets" => settings.packets = Some(number(&value()?)?),
                "--rounds" => settings.rounds = number(&value()?)?.clamp(1, 1000) as usize,
                "--keep" => settings.keep = Some(PathBuf::from(value()?)),
                "--write" => {
                    let (shape, folder) = (value()?, value()?);
                    settings.write = Some((find(&shape)?, PathBuf::from(folder)));
                }
                case if OTHERS.contains(&case) => settings.cases.push(arg),
                case => settings.cases.push(find(case)?.name.to_owned()),
            }
        }
        Ok(settings)
    }

    /// Whether a case is to be measured.
    pub(crate) fn has(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|name| name == case)
    }

    /// The shape with as many packets as were asked for.
    pub(crate) fn size(&self, shape: &Shape) -> Shape {
        shape.with_packets(self.packets.unwrap_or(shape.packets))
    }
}

fn number(text: &str) -> Result<u64> {
    let number: u64 = text.parse().with_context(|| format!("`{text}` is no number"))?;
    ensure!(number > 0, "0 is too few");
    Ok(number)
}

fn find(name: &str) -> Result<&'static Shape> {
    let Some(shape) = Shape::find(name) else {
        let names: Vec<_> = SHAPES.iter().map(|shape| shape.name).chain(OTHERS).collect();
        bail!(
            "`{name}` is no case; give {}, --packets, --rounds, --keep FOLDER or --write SHAPE FOLDER",
            names.join(", ")
        );
    };
    Ok(shape)
}
