//! The page for people (`--report`): what was recorded and how complete it is, how packets were
//! named, who talked to whom, and what went wrong with connections. [`collect`] collects from packets,
//! chunk by chunk, and [`traffic`] puts that together; [`connections`] looks at what the recordings tell; [`data`] puts both into JSON, and
//! [`page`] that into one file. Memory and page are bounded whatever the capture's size.

use std::io::Write as _;
use std::path::PathBuf;

use crate::destination::Destination;
use crate::events::Recordings;
use crate::summary::Summary;

pub mod collect;
pub mod connections;
pub mod data;
pub mod filter;
pub mod groups;
pub mod names;
pub mod page;
pub mod party;
pub mod recording;
pub mod scale;
pub mod table;
pub mod text;
pub mod traffic;

use self::groups::Groups;
use self::traffic::Traffic;

/// Writes the page to `destination`, beside whose final name it was created; `events` are the files
/// that the recordings were read from.
///
/// # Errors
///
/// What the system says.
pub fn write(
    destination: Destination,
    summary: &Summary,
    recordings: &Recordings,
    (traffic, groups): (&Traffic, &Groups),
    events: &[PathBuf],
) -> std::io::Result<()> {
    let recorders = recording::recorders(events);
    let data = data::data((summary, &recorders), recordings, traffic, groups);
    let page = page::page(&data);
    destination.file().write_all(page.as_bytes())?;
    destination.finish()
}
