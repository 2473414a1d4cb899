//! `interface` rows, held against what ip(8) was told to make.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    lab::{Lab, await_that, index, inode, ip},
    live::Scenario,
    recording::Recording,
    rows::{EventRow, of_kind},
};

pub(crate) const ALL: &[Scenario] = &[
    ("twins_in_two_namespaces_are_told_apart", twins),
    ("interfaces_that_come_and_go_are_told", changes),
    ("a_namespace_without_a_process_and_without_a_number_is_found", quiet_namespace),
    ("no_namespace_is_kept_by_the_recorder", nothing_is_kept),
];

/// The rows of an interface in the namespace with this inode.
fn of<'a>(rows: &'a [EventRow], netns: u64, name: &str) -> Vec<&'a EventRow> {
    let mut found = of_kind(rows, Kind::Interface);
    found.retain(|row| row.netns == Some(netns) && row.ifname.as_deref() == Some(name));
    found
}

fn record(during: impl FnOnce() -> Result<()>) -> Result<Vec<EventRow>> {
    let recording = Recording::start(EBPFREC, &["--events", "ev.parquet"])?;
    during()?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    Ok(rows)
}

/// Same interface name, same address, same hardware address: only the namespace differs.
fn twins() -> Result<()> {
    let mut lab = Lab::new();
    let names = [lab.namespace("a")?, lab.namespace("b")?];
    let mut outer = vec![];
    for (name, end) in names.iter().zip(["0", "1"]) {
        outer.push(lab.veth(end, name, "eth0")?);
        ip(&["-n", name, "link", "set", "eth0", "address", "02:00:00:00:00:01"])?;
        ip(&["-n", name, "addr", "add", "10.77.0.1/24", "dev", "eth0"])?;
    }
    let rows = record(|| Ok(()))?;
    let own = std::fs::metadata("/proc/self/ns/net")?.ino();
    let mut cookies = vec![];
    for (name, outer) in names.iter().zip(&outer) {
        let netns = inode(name)?;
        let inside = of(&rows, netns, "eth0");
        let inside = inside
            .iter()
            .find(|row| row.local_addr.as_deref() == Some("10.77.0.1"))
            .with_context(|| format!("no row of eth0 in {name}: {inside:#?}"))?;
        ensure!(inside.source == "snapshot" && inside.error.is_none());
        ensure!(inside.ifindex == Some(index(Some(name), "eth0")?));
        ensure!(inside.mac.as_deref() == Some("02:00:00:00:00:01"));
        ensure!(inside.peer_netns == Some(own), "{inside:#?}");
        ensure!(inside.peer_ifindex == Some(index(None, outer)?));
        cookies.push(inside.netns_cookie.context("no cookie")?);
        let outside = of(&rows, own, outer);
        let outside = outside.first().context("no row of the end outside")?;
        ensure!(outside.peer_netns == Some(netns), "{outside:#?}");
        ensure!(outside.peer_ifindex == inside.ifindex && outside.ifindex == inside.peer_ifindex);
        ensure!(outside.container_id.is_none() && inside.container_id.is_none());
        let loopback = of(&rows, netns, "lo");
        ensure!(loopback.iter().any(|row| row.local_addr.as_deref() == Some("127.0.0.1")));
    }
    ensure!(cookies[0] != cookies[1]);
    Ok(())
}

fn changes() -> Result<()> {
    let mut lab = Lab::new();
    let name = lab.namespace("a")?;
    let before = lab.veth("0", &name, "eth0")?;
    ip(&["-n", &name, "addr", "add", "10.77.0.1/24", "dev", "eth0"])?;
    let stays = lab.veth("1", &name, "eth1")?;
    ip(&["-n", &name, "addr", "add", "10.77.1.1/24", "dev", "eth1"])?;
    let netns = inode(&name)?;
    let own = std::fs::metadata("/proc/self/ns/net")?.ino();
    let mut after = String::new();
    let rows = record(|| {
        ip(&["-n", &name, "addr", "del", "10.77.1.1/24", "dev", "eth1"])?;
        ip(&["-n", &name, "addr", "add", "10.77.1.2/24", "dev", "eth1"])?;
        after = lab.veth("2", &name, "eth2")?;
        ip(&["link", "del", &before]).map(drop)
    })?;
    let told = |netns, interface: &str, address: Option<&str>| -> Vec<Option<String>> {
        let rows = of(&rows, netns, interface);
        let of_address = rows.iter().filter(|row| row.local_addr.as_deref() == address);
        of_address.map(|row| row.error.clone()).collect()
    };
    let (there, removed) = (None, Some("removed".to_owned()));
    let both = [there.clone(), removed.clone()];
    ensure!(told(netns, "eth0", Some("10.77.0.1")) == both, "{rows:#?}");
    ensure!(told(netns, "eth1", Some("10.77.1.1")) == both, "{rows:#?}");
    ensure!(told(netns, "eth1", Some("10.77.1.2")) == [there.clone()], "{rows:#?}");
    let last = |name: &str| of(&rows, own, name).last().map(|row| row.error.clone());
    ensure!(last(&before) == Some(removed) && last(&stays) == Some(there), "{rows:#?}");
    let new = of(&rows, own, &after);
    let new = new.last().context("no row of the new interface")?;
    ensure!(new.error.is_none() && new.peer_netns == Some(netns), "{new:#?}");
    ensure!(rows.iter().enumerate().all(|(place, row)| row.seq == place as u64));
    Ok(())
}

/// The last look before the end finds it, whether or not the kernel told of it.
fn quiet_namespace() -> Result<()> {
    let mut lab = Lab::new();
    let mut netns = 0;
    let rows = record(|| {
        netns = inode(&lab.namespace("a")?)?;
        Ok(())
    })?;
    ensure!(!of(&rows, netns, "lo").is_empty());
    Ok(())
}

/// An interface lives as long as its namespace, and that as long as anybody holds it.
fn nothing_is_kept() -> Result<()> {
    let mut lab = Lab::new();
    let name = lab.namespace("a")?;
    let outer = lab.veth("0", &name, "eth0")?;
    record(|| {
        lab.forget(&name)?;
        await_that("the end outside goes with the namespace", || index(None, &outer).is_err())
    })?;
    Ok(())
}
