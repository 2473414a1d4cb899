//! `ebpfrec recover`: finishes every recording that was cut off at a place, and says what came of
//! each.

use std::{collections::VecDeque, path::Path};

use anyhow::Context as _;

use super::{Exit, print, report};
use crate::recover::{Recovered, find, recover};

/// Recovers what is at `path`, and prints it.
pub(super) fn run(path: &Path, json: bool) -> anyhow::Result<Exit> {
    let mut left = VecDeque::from(find(path)?);
    let mut exit = Exit::Success;
    while let Some(path) = left.pop_front() {
        match recover(&path) {
            Ok((recovered, packets)) => {
                print(&show(&recovered, json)?)?;
                // Packets of the same recording may be elsewhere, or finished.
                let packets = packets.map(|packets| find(&packets).unwrap_or_default());
                for packets in packets.unwrap_or_default() {
                    if !left.iter().any(|other| is_same(other, &packets)) {
                        left.push_back(packets);
                    }
                }
            }
            Err(error) => {
                report(&error.into());
                exit = Exit::Error;
            }
        }
    }
    Ok(exit)
}

fn show(recovered: &Recovered, json: bool) -> anyhow::Result<String> {
    if !json {
        return Ok(recovered.line());
    }
    let json = serde_json::to_string(recovered).context("cannot write the report")?;
    Ok(json + "\n")
}

/// Whether two paths, one of them absolute, name one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    absolute(one) == absolute(other)
}
