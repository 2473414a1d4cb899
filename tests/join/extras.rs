//! What an enriched file says beside its packets, where that was asked for: names of addresses, what
//! interfaces are for, processes as macOS has them. Everything else is as it is without.

use std::fs;

use schema::{Event, Kind};
use tempfile::TempDir;

use crate::blocks::{Block, comments, read, stripped};
use crate::scene::{
    Order, begin, datagrams, described, meta, packet_ns, pcap, pcapng, put, rows, scene,
    write_events,
};
use crate::tools::{ebpfjoin, failure, join, tshark};

const NAMES: u32 = 4;
const PROCESS: u32 = 0x8000_0001;

/// The scene, and rows that tell of the interfaces of host and container.
fn scene_with_interfaces() -> TempDir {
    let folder = scene();
    let [first, .., last] = rows();
    let link = |netns, ifname, address| Event {
        ts: first.ts,
        kind: Kind::Interface.as_str(),
        host: first.host,
        source: "recorder",
        netns: Some(netns),
        ifname: Some(ifname),
        ifindex: Some(2),
        local_addr: Some(address),
        ..Event::default()
    };
    let web = Event {
        container_id: Some("9f86d081884c7d65"),
        container_name: Some("web"),
        pod_namespace: Some("default"),
        pod_name: Some("web-0"),
        ..link(6, "eth0", "10.0.0.2")
    };
    let mut all = rows().to_vec();
    for (seq, row) in (last.seq + 1..).zip([link(5, "lan0", "10.0.0.1"), web]) {
        all.push(Event { seq, ..row });
    }
    write_events(&folder.path().join("ev.parquet"), &all, &meta());
    folder
}

fn output(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("out.pcapng")).expect("output")
}

/// The type of a block, of either byte order, that is no packet.
fn kind(block: &Block, big: bool) -> Option<u32> {
    let Block::Other(bytes) = block else { return None };
    let bytes = *bytes.first_chunk()?;
    Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

#[test]
fn names_stand_before_the_first_packet_and_interfaces_are_described() {
    for big in [false, true] {
        let folder = scene_with_interfaces();
        put(&folder, "in.pcapng", &pcapng(big, &[]));
        join(folder.path(), "in.pcapng", &[]);
        let without = read(&output(&folder));
        join(folder.path(), "in.pcapng", &["--names"]);
        let mut with = read(&output(&folder));
        assert_eq!(kind(&with[1], big), Some(NAMES), "behind the section header");
        let Block::Other(names) = with.remove(1) else { unreachable!("it is none") };
        let record = [&[10, 0, 0, 2][..], b"default/web-0\0"].concat();
        assert!(names.windows(record.len()).any(|window| window == record), "{names:?}");
        assert!(!names.windows(4).any(|window| window == [10, 0, 0, 1]), "the host's has no name");
        let Block::Other(described) = with.remove(1) else { panic!("an interface") };
        let text = b"eth0 (pod default/web-0)";
        assert!(described.windows(text.len()).any(|window| window == text), "{described:?}");
        let mut rest = without;
        let Block::Other(plain) = rest.remove(1) else { panic!("an interface") };
        assert_eq!(plain[8..16], described[8..16], "link type and snap length");
        assert_eq!(with, rest, "everything else");
    }
}

#[test]
fn tshark_shows_the_names() {
    for capture in ["in.pcapng", "in.pcap"] {
        let folder = scene_with_interfaces();
        put(&folder, "in.pcapng", &pcapng(false, &[]));
        put(&folder, "in.pcap", &pcap(true, false));
        join(folder.path(), capture, &["--names"]);
        let mut command = std::process::Command::new("tshark");
        command.current_dir(folder.path()).args(["-r", "out.pcapng", "-Nn", "-T", "fields"]);
        command.args(["-e", "ip.dst_host", "-e", "frame.interface_description"]);
        let Some(text) = crate::tools::wireshark(&mut command) else { return };
        let first = text.lines().next().expect("a packet");
        let description = if capture == "in.pcap" { "" } else { "eth0 (pod default/web-0)" };
        assert_eq!(first, format!("default/web-0\t{description}"));
    }
}

#[test]
fn nothing_is_added_where_nothing_is_known() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    join(folder.path(), "in.pcapng", &[]);
    let without = output(&folder);
    join(folder.path(), "in.pcapng", &["--names"]);
    assert!(output(&folder) == without);
}

#[test]
fn names_that_are_there_already_are_not_written_again() {
    for big in [false, true] {
        let folder = scene_with_interfaces();
        put(&folder, "in.pcapng", &pcapng(big, &[]));
        join(folder.path(), "in.pcapng", &["--names"]);
        let once = output(&folder);
        put(&folder, "again.pcapng", &once);
        join(folder.path(), "again.pcapng", &["--names"]);
        assert!(output(&folder) == once);
        // Other names may be somebody else's, and a section's names are its own.
        put(&folder, "again.pcapng", &[once.clone(), pcapng(big, &[])].concat());
        join(folder.path(), "again.pcapng", &["--names"]);
        assert!(output(&folder).starts_with(&once));
        put(&folder, "again.pcapng", &[pcapng(big, &[]), once].concat());
        join(folder.path(), "again.pcapng", &["--names"]);
        let blocks = read(&output(&folder));
        let names = blocks.iter().filter(|block| kind(block, big) == Some(NAMES)).count();
        assert_eq!(names, 2);
    }
}

/// Process blocks, and the ordinals that packets refer to.
fn native_parts(file: &[u8]) -> (Vec<Vec<u8>>, Vec<Option<u32>>) {
    let (mut processes, mut ordinals) = (vec![], vec![]);
    for block in read(file) {
        match block {
            Block::Packet { options, .. } => {
                let option = options.into_iter().find(|(code, _)| *code == 0x8001);
                ordinals.push(
                    option.map(|(_, value)| {
                        u32::from_le_bytes(value.try_into().expect("four bytes"))
                    }),
                );
            }
            Block::Other(bytes) if bytes[..4] == PROCESS.to_le_bytes() => {
                assert!(ordinals.is_empty(), "before the first packet");
                processes.push(bytes);
            }
            Block::Other(_) => {}
        }
    }
    (processes, ordinals)
}

#[test]
fn packets_refer_to_the_process_block_of_their_sender() {
    for (capture, bytes) in [("in.pcapng", pcapng(false, &[])), ("in.pcap", pcap(true, true))] {
        let folder = scene();
        put(&folder, capture, &bytes);
        join(folder.path(), capture, &["--native"]);
        let (processes, ordinals) = native_parts(&output(&folder));
        let names: Vec<_> = processes.iter().map(|block| &block[12..24]).collect();
        let name = |text: &[u8]| [&[2, 0, text.len() as u8, 0], text].concat();
        assert!(processes[0][8..12] == 4242_u32.to_le_bytes() && names[0][..8] == name(b"curl"));
        assert!(processes[1][8..12] == 77_u32.to_le_bytes() && names[1][..9] == name(b"nginx"));
        let (curl, nginx) = (Some(0), Some(1));
        assert_eq!(ordinals, [curl, nginx, curl, curl, nginx, curl, None, None], "{capture}");
        assert_eq!(ordinals.len(), datagrams().len());
    }
}

#[test]
fn tshark_reads_a_file_with_process_blocks() {
    let folder = scene();
    put(&folder, "in.pcap", &pcap(false, true));
    join(folder.path(), "in.pcap", &["--native"]);
    let Some(rows) = tshark(&folder.path().join("out.pcapng"), &["frame.len"]) else { return };
    let lengths: Vec<_> = datagrams().iter().map(|data| data.len().to_string()).collect();
    assert_eq!(rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(), lengths);
}

#[test]
fn process_blocks_are_refused_where_they_would_mislead() {
    let folder = scene();
    put(&folder, "big.pcapng", &pcapng(true, &[]));
    put(&folder, "two.pcapng", &[pcapng(false, &[]), pcapng(false, &[])].concat());
    put(&folder, "has.pcapng", &of_macos());
    for (capture, why) in [
        ("big.pcapng", "this one is big-endian"),
        ("two.pcapng", "this one has 2 sections"),
        ("has.pcapng", "this one has some"),
    ] {
        let args = [capture, "ev.parquet", "-o", "out.pcapng", "--native"];
        assert_eq!(
            failure(&ebpfjoin(folder.path(), &args)),
            format!(
                "ebpfjoin: {capture}: --native needs a little-endian capture of one section \
                 without process blocks; {why}: leave it out"
            )
        );
        assert!(!folder.path().join("out.pcapng").exists());
    }
}

/// A capture as macOS makes it: a process, of which more than the name is told, and its first packet.
fn of_macos() -> Vec<u8> {
    let order = Order { big: false };
    let mut process = order.u32(4242);
    process.extend(order.options(&[(2, b"Safari".to_vec()), (4, vec![7; 16])]));
    let refers = [(0x8001, order.u32(0))];
    let packet = order.packet(packet_ns(3), &datagrams()[3], &refers);
    [begin(&order), described(&order, "en0"), order.block(PROCESS, &process), packet].concat()
}

#[test]
fn process_blocks_of_an_earlier_run_are_replaced_or_taken_away() {
    let folder = scene_with_interfaces();
    let plain = pcapng(false, &[(1, b"mine".to_vec())]);
    let joined = |input: &[u8], more: &[&str]| {
        put(&folder, "in.pcapng", input);
        join(folder.path(), "in.pcapng", more);
        output(&folder)
    };
    for names in [&[][..], &["--names"]] {
        let native = joined(&plain, &[&["--native"], names].concat());
        assert_eq!(native.windows(4).filter(|at| *at == PROCESS.to_le_bytes()).count(), 2);
        assert!(joined(&native, &[&["--native"], names].concat()) == native, "{names:?}");
        assert!(joined(&native, names) == joined(&plain, names), "{names:?}");
        let twice = joined(&native.repeat(2), names);
        assert!(twice == joined(&joined(&plain, names).repeat(2), names), "{names:?}");
    }
    let native = joined(&plain, &["--native"]);
    assert!(joined(&native, &["--detail", "none"]) == plain);
    // A legacy file has become one of blocks.
    let legacy = joined(&pcap(false, true), &["--native", "--names"]);
    assert!(joined(&legacy, &["--native", "--names"]) == legacy);
    assert_eq!(native_parts(&joined(&legacy, &[])), (vec![], vec![None; 8]));
}

#[test]
fn process_blocks_of_macos_stay() {
    let folder = scene();
    put(&folder, "in.pcapng", &of_macos());
    join(folder.path(), "in.pcapng", &[]);
    let written = output(&folder);
    assert!(comments(&read(&written))[0].is_some());
    assert!(stripped(read(&written)) == read(&of_macos()));
    // In the same file as ours, too: what packets refer to, nobody can tell.
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    join(folder.path(), "in.pcapng", &["--native"]);
    let both = [output(&folder), of_macos()].concat();
    put(&folder, "in.pcapng", &both);
    join(folder.path(), "in.pcapng", &["--detail", "none"]);
    let processes =
        |file: &[u8]| read(file).iter().filter(|block| kind(block, false) == Some(PROCESS)).count();
    assert_eq!(processes(&output(&folder)), 3);
}

#[test]
fn any_number_of_threads_writes_the_same() {
    let folder = scene_with_interfaces();
    let capture = pcapng(false, &[]);
    let first = capture.windows(4).position(|window| window == [6, 0, 0, 0]).expect("a packet");
    let mut long = capture.clone();
    for _ in 0..8000 {
        long.extend_from_slice(&capture[first..]);
    }
    put(&folder, "in.pcapng", &long);
    let mut seen = vec![];
    for threads in ["1", "2", "5"] {
        join(folder.path(), "in.pcapng", &["--names", "--native", "--threads", threads]);
        seen.push(output(&folder));
    }
    assert!(seen[0] == seen[1] && seen[0] == seen[2]);
}
