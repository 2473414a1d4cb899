//! What the facts say to each question. Nothing here looks at a row of a file.

mod connections;
mod packets;
mod places;
mod recording;

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::table::Table;
use crate::world::{Role, Socket, World};

/// An answer.
type Answer = fn(&World) -> Table;

/// Every question of the page, in its order.
pub(crate) const ALL: &[(&str, Answer)] = &[
    ("Who talked to 10.0.0.7 between 3:05 and 3:07?", connections::talked),
    ("Which connections were open at 3:06:30?", connections::open_then),
    ("Which containers opened the most connections?", connections::by_container),
    ("How long do connects take, by program?", connections::latency),
    ("Which pods send segments again, and to whom?", connections::retransmits),
    ("Which connects failed, and why?", connections::failed),
    ("When did connects begin to fail?", connections::failed_when),
    ("Who is at the other end?", connections::both_ends),
    ("Which processes moved the most bytes?", connections::bytes),
    ("Who listens, and where?", places::listeners),
    ("Who else used port 9000 before?", places::port_9000),
    ("Which processes lived shorter than a second, and talked?", places::short_lives),
    ("Who asks for names, and whom?", places::askers),
    ("Who is behind docker-proxy?", places::behind_proxy),
    ("What was translated into what?", places::translations),
    ("Which worker took the connections of which listener?", places::workers),
    ("Who talks to addresses outside of ours, and how was it started?", places::outside),
    ("Which container is behind which interface?", recording::interfaces),
    ("What was lost, and when?", recording::losses),
    ("Was a clock set?", recording::clocks),
    ("Which packets have no name, and why?", packets::unnamed),
    ("How were the names found?", packets::matches),
    ("Who sent how much to whom, on the wire?", packets::volume),
    ("Whose are the packets to a published port?", packets::translated),
    ("Who resets connections?", packets::resets),
    ("What did the failed connects send?", packets::failed),
];

/// A time as the tables show it: UTC, without trailing zeros.
pub(crate) fn time(ns: i64) -> String {
    let since = std::time::Duration::from_nanos(u64::try_from(ns).expect("after 1970"));
    let text = humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string();
    let text = text.replace('T', " ");
    text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An empty cell if there is nothing.
fn cell<T: Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Text with what a terminal would obey replaced.
fn shown(text: &str) -> String {
    let harmless = |c: char| !c.is_control() && c != '\u{202e}';
    text.chars().map(|c| if harmless(c) { c } else { '·' }).collect()
}

/// Items by their keys, in the order of the keys.
fn group<K: Ord, T>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> BTreeMap<K, Vec<T>> {
    let mut groups = BTreeMap::<K, Vec<T>>::new();
    for item in items {
        groups.entry(key(&item)).or_default().push(item);
    }
    groups
}

/// How many of them differ.
fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> usize {
    items.into_iter().collect::<std::collections::BTreeSet<_>>().len()
}

impl Socket {
    /// A TCP connection that this end opened.
    fn is_connect(&self) -> bool {
        self.proto == "tcp" && self.role == Role::Opened && !self.existed
    }

    fn peer(&self) -> (String, u16) {
        self.remote.clone().unwrap_or_default()
    }
}
