//! Where packets are captured: in other network namespaces, by name, as long as they are there.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use pcap_file::pcapng::{
    Block, PcapNgReader,
    blocks::{
        interface_description::InterfaceDescriptionOption as Description,
        interface_statistics::InterfaceStatisticsOption as Statistics,
    },
};

use super::{
    EBPFREC,
    lab::{Lab, await_that, index, inode, ip},
    live::Scenario,
    recording::{Finished, Recording},
};

pub(crate) const ALL: &[Scenario] = &[
    ("a_namespace_is_captured_in_by_name", by_name),
    ("a_name_that_only_one_other_namespace_has_is_found", only_one),
    ("a_namespace_that_goes_away_ends_its_interface_alone", namespace_goes),
    ("an_interface_that_goes_away_ends_alone", interface_goes),
    ("unknown_places_are_refused_with_the_choices", unknown),
    ("the_list_says_how_to_capture_on_each", list),
    ("hostile_names_cannot_reach_the_terminal", hostile),
];

/// An interface of the capture file.
#[derive(Debug, Default)]
struct Captured {
    name: String,
    description: String,
    comment: String,
    packets: u64,
    statistics: u32,
}

fn read(finished: &Finished) -> Result<Vec<Captured>> {
    let mut reader = PcapNgReader::new(File::open(finished.path("t.pcapng"))?)?;
    let mut all: Vec<Captured> = vec![];
    while let Some(block) = reader.next_block() {
        match block? {
            Block::InterfaceDescription(block) => {
                let mut captured = Captured::default();
                for option in &block.options {
                    match option {
                        Description::IfName(name) => captured.name = name.to_string(),
                        Description::IfDescription(text) => captured.description = text.to_string(),
                        Description::Comment(text) => captured.comment = text.to_string(),
                        _ => {}
                    }
                }
                all.push(captured);
            }
            Block::EnhancedPacket(packet) => {
                all[usize::try_from(packet.interface_id)?].packets += 1;
            }
            Block::InterfaceStatistics(block) => {
                ensure!(block.options.contains(&Statistics::IsbOsDrop(0)), "{:?}", block.options);
                all[usize::try_from(block.interface_id)?].statistics += 1;
            }
            _ => {}
        }
    }
    Ok(all)
}

/// Sends datagrams of our own from inside a namespace: to its neighbour, or to itself.
fn ping(namespace: &str, to: &str) -> Result<()> {
    let script = format!("for i in 1 2 3 4 5; do echo x > /dev/udp/{to}/9; done");
    let status = Command::new("ip")
        .args(["netns", "exec", namespace, "bash", "-c", &script])
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "nothing could be sent");
    Ok(())
}

/// A process in a namespace that does nothing. It is killed when the test ends.
struct Sleeper(Child);

impl Sleeper {
    fn new(namespace: &str) -> Result<Self> {
        let child = Command::new("ip")
            .args(["netns", "exec", namespace, "sleep", "60"])
            .spawn()
            .context("ip(8) is needed")?;
        let sleeper = Self(child);
        let path = format!("/proc/{}/ns/net", sleeper.0.id());
        let inode = inode(namespace)?;
        await_that("the process is in its namespace", || {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(&path).is_ok_and(|meta| meta.ino() == inode)
        })?;
        Ok(sleeper)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A veth here, with an address on either end; returns the names of namespace and outer end.
fn connected(lab: &mut Lab, name: &str, inner: &str, net: u8) -> Result<(String, String)> {
    let namespace = lab.namespace(name)?;
    let outer = lab.veth(name, &namespace, inner)?;
    // Nothing but what the test sends.
    ip(&["-n", &namespace, "link", "set", inner, "arp", "off"])?;
    ip(&["-n", &namespace, "addr", "add", &format!("10.78.{net}.1/24"), "dev", inner])?;
    Ok((namespace, outer))
}

fn by_name() -> Result<()> {
    let mut lab = Lab::new();
    let (a, _) = connected(&mut lab, "a", "eth0", 0)?;
    let (b, _) = connected(&mut lab, "b", "eth0", 0)?;
    let recording = Recording::start(
        EBPFREC,
        &[
            "--packets",
            "t.pcapng",
            "-f",
            "udp port 9",
            "-i",
            &format!("netns:{a}"),
            "-i",
            &format!("netns:{}/eth0", inode(&b)?),
            "-i",
            &format!("netns:{b}/lo"),
        ],
    )?;
    ping(&a, "10.78.0.2")?;
    ping(&b, "127.0.0.1")?;
    let finished = recording.finish()?;
    let all = read(&finished)?;
    ensure!(all.len() == 3, "{all:#?}");
    let names: Vec<_> = all.iter().map(|of| (of.name.as_str(), of.packets)).collect();
    ensure!(names == [("eth0", 5), ("eth0", 0), ("lo", 5)], "{all:#?}");
    for (of, namespace) in all.iter().zip([&a, &b, &b]) {
        ensure!(of.description == format!("netns {namespace}"), "{of:?}");
        let number = index(Some(namespace), &of.name)?;
        let comment = format!("ebpfrec netns={} ifindex={number}", inode(namespace)?);
        ensure!(of.comment == comment && of.statistics == 1, "{of:?}");
    }
    ensure!(finished.stderr.contains(&format!("netns:{a}/eth0")), "{}", finished.stderr);
    Ok(())
}

fn only_one() -> Result<()> {
    let mut lab = Lab::new();
    let name = format!("u{}", std::process::id());
    let (a, _) = connected(&mut lab, "a", &name, 0)?;
    let args = ["--packets", "t.pcapng", "-f", "udp port 9", "-i", &name];
    let recording = Recording::start(EBPFREC, &args)?;
    ping(&a, "10.78.0.2")?;
    let all = read(&recording.finish()?)?;
    ensure!(all.len() == 1 && all[0].packets == 5, "{all:#?}");
    let (b, _) = connected(&mut lab, "b", &name, 1)?;
    let said = refused(&name)?;
    let start =
        format!("ebpfrec: interface {name} is in several network namespaces: choose among ");
    ensure!(said.starts_with(&start) && said.contains(&a) && said.contains(&b), "{said}");
    Ok(())
}

/// The container's last process ends: the recorder must not keep its network.
fn namespace_goes() -> Result<()> {
    let mut lab = Lab::new();
    let (a, outer) = connected(&mut lab, "a", "eth0", 0)?;
    let (b, _) = connected(&mut lab, "b", "eth0", 1)?;
    let sleeper = Sleeper::new(&a)?;
    let (netns_a, netns_b) = (format!("netns:{a}"), format!("netns:{b}"));
    let args = ["--packets", "t.pcapng", "-f", "udp port 9", "-i", &netns_a, "-i", &netns_b];
    let recording = Recording::start(EBPFREC, &args)?;
    ping(&a, "10.78.0.2")?;
    lab.forget(&a)?;
    ensure!(index(None, &outer).is_ok(), "the process is still there");
    drop(sleeper);
    await_that("the end outside goes with the namespace", || index(None, &outer).is_err())?;
    ping(&b, "10.78.1.2")?;
    let finished = recording.finish()?;
    let all = read(&finished)?;
    ensure!(all.iter().map(|of| of.packets).eq([5, 5]), "{all:#?}");
    ensure!(all.iter().all(|of| of.statistics == 1), "{all:#?}");
    let line = format!(
        "ebpfrec: no more packets from netns:{a}/eth0: its network namespace is no longer used\n"
    );
    ensure!(finished.stderr.contains(&line), "{}", finished.stderr);
    Ok(())
}

fn interface_goes() -> Result<()> {
    let mut lab = Lab::new();
    let (a, _) = connected(&mut lab, "a", "eth0", 0)?;
    let stays = lab.veth("s", &a, "eth1")?;
    let goes = lab.veth("g", &a, "eth2")?;
    ip(&["-n", &a, "addr", "add", "10.78.2.1/24", "dev", "eth2"])?;
    ip(&["-n", &a, "link", "set", "eth2", "arp", "off"])?;
    let whole = format!("netns:{a}");
    let args = ["--packets", "t.pcapng", "-f", "udp port 9", "-i", &goes, "-i", &whole];
    let recording = Recording::start(EBPFREC, &args)?;
    ping(&a, "10.78.2.2")?;
    ip(&["link", "del", &goes])?;
    await_that("it is gone", || index(None, &goes).is_err())?;
    ping(&a, "10.78.0.2")?;
    let finished = recording.finish()?;
    let all = read(&finished)?;
    let packets: Vec<_> = all.iter().map(|of| (of.name.as_str(), of.packets)).collect();
    let want = [(goes.as_str(), 5), ("eth0", 5), ("eth1", 0), ("eth2", 5)];
    ensure!(packets == want, "{all:#?}");
    ensure!(all.iter().all(|of| of.statistics == 1), "{all:#?}");
    let ended = finished.stderr.matches("ebpfrec: no more packets from ").count();
    ensure!(ended == 2 && !finished.stderr.contains(&stays), "{}", finished.stderr);
    Ok(())
}

/// What it says when it does not capture there.
fn refused(target: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(EBPFREC)
        .current_dir(folder.path())
        .args(["--packets", "t.pcapng", "-i", target])
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && said.lines().count() == 1, "{said}");
    ensure!(std::fs::read_dir(folder.path())?.count() == 0, "a file is left");
    Ok(said)
}

fn unknown() -> Result<()> {
    let mut lab = Lab::new();
    let (a, _) = connected(&mut lab, "a", "eth0", 0)?;
    let bare = lab.namespace("b")?;
    let said = refused(&format!("netns:{a}/eth9"))?;
    let want = format!(
        "ebpfrec: there is no interface netns:{a}/eth9: choose among netns:{a}/lo, \
         netns:{a}/eth0; `ebpfrec --list-interfaces` shows all\n"
    );
    ensure!(said == want, "{said}");
    let said = refused("netns:none")?;
    let start = "ebpfrec: there is no netns:none here: choose among ";
    ensure!(said.starts_with(start) && said.contains(&a), "{said}");
    let said = refused("container:none")?;
    ensure!(said.starts_with("ebpfrec: there is no container:none here: "), "{said}");
    let said = refused(&format!("netns:{bare}"))?;
    let want = format!(
        "ebpfrec: netns:{bare} has no interface but its loopback: capture on that with `-i \
         netns:{bare}/lo`\n"
    );
    ensure!(said == want, "{said}");
    Ok(())
}

fn list() -> Result<()> {
    let mut lab = Lab::new();
    let (a, outer) = connected(&mut lab, "a", "eth0", 0)?;
    let output = Command::new(EBPFREC).args(["--list-interfaces", "--json"]).output()?;
    ensure!(output.status.success());
    let list: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let list = list.as_array().context("no array")?;
    let netns = inode(&a)?;
    let find = |name: &str, netns: Option<u64>| {
        list.iter().find(|of| of["name"] == name && netns.is_none_or(|inode| of["netns"] == inode))
    };
    let inside = find("eth0", Some(netns)).context("not inside")?;
    let outside = find(&outer, None).context("not outside")?;
    ensure!(inside["capture"] == format!("netns:{a}") && inside["netns_name"] == a, "{inside}");
    ensure!(inside["addresses"][0] == "10.78.0.1" && inside["state"] == "up", "{inside}");
    ensure!(outside["capture"] == outer && outside["peer_netns"] == netns, "{outside}");
    ensure!(outside["here"] == true && outside["peer_index"] == inside["index"], "{outside}");
    let table = Command::new(EBPFREC).arg("--list-interfaces").output()?;
    let table = String::from_utf8(table.stdout)?;
    let line = table.lines().find(|line| line.contains(&format!("-i netns:{a} ")));
    ensure!(line.is_some_and(|line| line.contains(" 10.78.0.1")), "{table}");
    Ok(())
}

/// The kernel lets an interface be called nearly anything.
fn hostile() -> Result<()> {
    let mut lab = Lab::new();
    let a = lab.namespace("a")?;
    lab.veth("0", &a, "$(x)\u{1b}[31m")?;
    let _ = lab.veth("1", &a, "eth1")?;
    let table = Command::new(EBPFREC).arg("--list-interfaces").output()?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(!table.contains('\u{1b}'), "{table:?}");
    let argument = format!("-i 'netns:{a}/$(x)\\u{{1b}}[31m'");
    ensure!(table.contains(&argument), "{table}");
    let said = refused(&format!("netns:{a}/\u{1b}x"))?;
    ensure!(!said.contains('\u{1b}') && said.contains("$(x)\\u{1b}[31m"), "{said:?}");
    Ok(())
}
