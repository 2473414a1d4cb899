//! The packets of an enriched capture, as `ebpfjoin show --json` prints them, held against what is
//! true.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    node::Process,
    talk::{Talk, Who},
};

/// One packet with ports.
#[derive(Debug)]
pub(crate) struct Packet {
    /// All that is told of it.
    pub(crate) line: String,
    pub(crate) proto: String,
    pub(crate) src: Named,
    pub(crate) dst: Named,
}

/// One end of it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) address: SocketAddr,
    pub(crate) pid: Option<u32>,
    pub(crate) container: Option<String>,
    pub(crate) via_pid: Option<u32>,
    pub(crate) via_container: Option<String>,
}

impl Named {
    fn read(end: &Value) -> Option<Self> {
        let text = |at: &Value, key: &str| at[key].as_str().map(str::to_owned);
        let number = |at: &Value| at["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let ip: IpAddr = end["addr"].as_str()?.parse().ok()?;
        let via = &end["via"];
        Some(Self {
            address: SocketAddr::new(ip, u16::try_from(end["port"].as_u64()?).ok()?),
            pid: number(end),
            container: text(end, "container_name"),
            via_pid: number(via),
            via_container: text(via, "container_name"),
        })
    }
}

/// Joins a capture with its events in `folder`, and reads the packets of TCP and UDP.
pub(crate) fn join(folder: &Path, capture: &str, options: &[&str]) -> Result<Vec<Packet>> {
    let program = env!("CARGO_BIN_EXE_ebpfjoin");
    let run = |args: &[&str]| -> Result<String> {
        let output = Command::new(program).current_dir(folder).args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ebpfjoin {}: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    };
    let enriched = format!("enriched-{capture}ng");
    let args = [capture, "ev.parquet", "-o", &enriched, "--detail", "full"];
    run(&[&args, options].concat())?;
    let mut packets = vec![];
    for line in run(&["show", &enriched, "--json"])?.lines() {
        let value: Value = serde_json::from_str(line)?;
        let proto = value["proto"].as_str().unwrap_or_default().to_owned();
        let ends = (Named::read(&value["src"]), Named::read(&value["dst"]));
        if let (Some(src), Some(dst), "tcp" | "udp") = (ends.0, ends.1, proto.as_str()) {
            packets.push(Packet { line: line.to_owned(), proto, src, dst });
        }
    }
    Ok(packets)
}

/// Every packet is of one of the talks, both its ends are named as the talk's ends know themselves,
/// and the process behind a proxy is.
///
/// If packets were captured `everywhere`, there are some of every connection.
pub(crate) fn check(packets: &[Packet], talks: &[Talk], everywhere: bool) -> Result<()> {
    let legs: Vec<_> = talks.iter().flat_map(Talk::legs).collect();
    let mut seen = vec![0; legs.len()];
    for packet in packets {
        let (src, dst) = (packet.src.address, packet.dst.address);
        let mut found = None;
        for (at, leg) in legs.iter().enumerate() {
            if let Some(ends) = leg.ends_of(&packet.proto, src, dst) {
                seen[at] += 1;
                ensure!(
                    found.is_none_or(|found| found == ends),
                    "the truth is ambiguous: {}",
                    packet.line
                );
                found = Some(ends);
            }
        }
        let Some([sender, receiver]) = found else { bail!("of no talk: {}", packet.line) };
        for (named, who) in [(&packet.src, sender), (&packet.dst, receiver)] {
            check_end(named, who, &packet.proto)
                .with_context(|| format!("should be {who:?}: {}", packet.line))?;
        }
    }
    for (leg, seen) in legs.iter().zip(seen).filter(|_| everywhere) {
        ensure!(seen > 0, "no packet of {leg:?}");
    }
    Ok(())
}

fn check_end(named: &Named, who: Who, proto: &str) -> Result<()> {
    let Process { pid, container } = who.process;
    ensure!(named.pid == Some(pid), "another process, or none");
    ensure!(named.container.as_deref() == container, "another container, or none");
    let Some(via) = who.via else {
        ensure!((named.via_pid, &named.via_container) == (None, &None), "nobody is behind it");
        return Ok(());
    };
    ensure!(
        named.via_container.as_deref() == via.container,
        "another container behind it, or none"
    );
    // All clients of a datagram proxy share the socket in front: nothing tells them apart but what
    // they send.
    if proto == "udp" && named.via_pid.is_none() {
        return Ok(());
    }
    ensure!(named.via_pid == Some(via.pid), "another process behind it, or none");
    Ok(())
}
