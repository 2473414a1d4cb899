//! Translations that the kernel could not, or was not to, tell of: counted, and told as far as a look
//! at the tables shows them.

use std::{collections::HashSet, net::SocketAddr, ops::RangeInclusive, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use recorder::{conntrack::Conntrack, loss::Losses};
use schema::Kind;

use super::{
    lab::await_that,
    live::Scenario,
    nat::{Talk, about, start, through_the_router},
    program::Program,
    router::{CLIENT, Router},
    rows::of_kind,
};

pub(crate) const ALL: &[Scenario] = &[
    ("translations_that_were_not_read_in_time_are_counted_and_looked_up", overrun),
    ("a_namespace_that_is_told_not_to_tell_is_counted", silent),
];

/// How many things of this stage a part's metadata say are lost.
fn lost(meta: &schema::meta::FileMeta) -> Result<u64> {
    let lost: serde_json::Value = serde_json::from_str(&meta.lost)?;
    lost["conntrack"].as_u64().context("no count")
}

/// The listening thread alone, with hardly any room: what fills that of the program would get into
/// the files of all other tests as well.
fn overrun() -> Result<()> {
    const PORTS: RangeInclusive<u16> = 10_000..=11_499;
    const LITTLE: usize = 16 << 10;
    const MANY: usize = 500;
    let router = Router::new()?;
    let losses = Arc::new(Losses::default());
    let conntrack = Conntrack::start(Arc::clone(&losses), LITTLE)?;
    await_that("the first look", || conntrack.has_told_all())?;
    let [first, last] = [PORTS.start(), PORTS.end()].map(u16::to_string);
    let args = ["talk", "scatter", "10.99.0.1", &first, &last];
    let mut scatter = Program::start_in(&router.client, &args)?;
    let local: SocketAddr = scatter.value("local")?;
    scatter.value::<u32>("done")?;
    let netns = router.inode()?;
    let mut ports = HashSet::new();
    await_that("every translation", || {
        let told = conntrack.told().filter(|told| told.netns == Some(netns) && !told.ended);
        let told = told.map(|told| told.translation.original);
        let ours = told.filter(|original| original.src.port() == local.port());
        ports.extend(ours.map(|original| original.dst.port()));
        // Some datagrams may not have come as far as the router.
        let tracked = router.tracked(&router.router).unwrap_or(0) as usize;
        tracked > MANY && ports.len() == tracked
    })?;
    ensure!(losses.to_json()["conntrack"].as_u64() > Some(0), "nothing was lost");
    scatter.finish()
}

fn silent() -> Result<()> {
    let router = Router::new()?;
    router.set(&router.router, "net/netfilter/nf_conntrack_events", "0")?;
    let older = through_the_router(&router)?;
    let recording = start()?;
    let far = format!("{CLIENT}:9000");
    let newer = Talk::start("tcp", (&router.server, &far), (&router.client, &far))?;
    let (meta, rows) = recording.finish()?.events("ev.parquet")?;
    let total = lost(&meta)?;
    let told = of_kind(&rows, Kind::Lost);
    let told = told.iter().filter(|row| row.error.as_deref() == Some("conntrack"));
    let told: u64 = told.filter_map(|row| row.count).sum();
    ensure!(total > 0 && told == total, "{told} of {total} losses are told");
    // Both stand when it is looked.
    for talk in [older, newer] {
        ensure!(about(&rows, Kind::Nat, talk.local).len() == 1, "of {}", talk.local);
        talk.finish()?;
    }
    Ok(())
}
