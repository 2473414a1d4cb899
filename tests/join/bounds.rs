//! Captures of odd shapes, all of them valid, take no more memory and time than their bytes are worth.

use std::fs;

use tempfile::TempDir;

use crate::blocks::{comments, read, stripped};
use crate::scene::{Order, begin, datagrams, described, packet_ns, put, scene};
use crate::tools::ebpfjoin_within;

/// MiB of addresses, most of which are never touched, and seconds in a build for debugging.
const LITTLE: [u32; 2] = [300, 6];

/// Joins `in.pcapng` by one thread; nothing but annotations may be added.
fn joined(folder: &TempDir, limits: [u32; 2], more: &[&str]) -> Vec<u8> {
    let args = ["in.pcapng", "ev.parquet", "-o", "out.pcapng", "--threads", "1", "--json"];
    let output = ebpfjoin_within(folder.path(), limits, &[&args, more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let file = |name: &str| fs::read(folder.path().join(name)).expect("a capture");
    let output = file("out.pcapng");
    assert!(stripped(read(&output)) == read(&file("in.pcapng")), "nothing else is changed");
    output
}

/// Packet `number`, of this interface.
fn packet(order: &Order, number: usize, interface: u32) -> Vec<u8> {
    let packets = datagrams();
    let number = number % packets.len();
    let mut packet = order.packet(packet_ns(number), &packets[number], &[]);
    packet[8..12].copy_from_slice(&order.u32(interface));
    packet
}

#[test]
fn interfaces_that_are_described_one_by_one_between_packets() {
    let (order, folder) = (Order { big: false }, scene());
    let mut file = begin(&order);
    for number in 0..20_000 {
        file.extend(described(&order, &format!("veth{number}")));
        file.extend(packet(&order, number as usize, number));
    }
    put(&folder, "in.pcapng", &file);
    let plain = joined(&folder, LITTLE, &[]);
    // As a stream.
    fs::rename(folder.path().join("in.pcapng"), folder.path().join("plain")).expect("moved");
    let script = "ulimit -v 300000 && ulimit -t 6 && cat plain | \"$0\" \"$@\"";
    let status = std::process::Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_ebpfjoin")])
        .args(["-", "ev.parquet", "-o", "piped.pcapng", "--threads", "1", "--quiet"])
        .status();
    assert!(status.expect("a shell").success());
    assert!(fs::read(folder.path().join("piped.pcapng")).expect("output") == plain);
}

#[test]
fn sections_of_one_packet_with_a_table_and_a_report() {
    let (order, folder) = (Order { big: false }, scene());
    let section = [begin(&order), described(&order, "eth0"), packet(&order, 3, 0)].concat();
    put(&folder, "in.pcapng", &section.repeat(5000));
    joined(&folder, LITTLE, &["--packets", "rows.parquet", "--report", "report.html"]);
}

/// A block of somebody else's, of so many bytes.
fn custom(order: &Order, length: usize) -> Vec<u8> {
    let mut body = order.u32(32_473);
    body.resize(length - 12, 0x5a);
    order.block(0x4000_0bad, &body)
}

#[test]
fn blocks_as_long_as_wireshark_takes_them() {
    const LONGEST: usize = 134_348_832;
    let (order, folder) = (Order { big: true }, scene());
    let head = [begin(&order), described(&order, "eth0"), packet(&order, 3, 0)].concat();
    let last = packet(&order, 4, 0);
    // In a file each thread looks for beginnings in all of it, which takes long without optimization.
    for (length, captures) in [(20 << 20, &["in.pcapng", "-"][..]), (LONGEST, &["-"])] {
        put(&folder, "in.pcapng", &[&head[..], &custom(&order, length), &last].concat());
        for capture in captures {
            let script = "exec \"$0\" \"$@\" < in.pcapng";
            let output = std::process::Command::new("sh")
                .current_dir(folder.path())
                .args(["-c", script, env!("CARGO_BIN_EXE_ebpfjoin"), capture, "ev.parquet"])
                .args(["-o", "out.pcapng", "--json"])
                .output()
                .expect("a shell");
            let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(summary["damage"], serde_json::Value::Null, "{length}");
            assert_eq!(summary["packets"], 2, "{length}");
        }
    }
}

#[test]
fn a_block_that_only_claims_to_be_long() {
    let (order, folder) = (Order { big: false }, scene());
    let mut file = [begin(&order), described(&order, "eth0"), packet(&order, 3, 0)].concat();
    let end = file.len();
    file.extend(custom(&order, 1000));
    file[end + 4..end + 8].copy_from_slice(&order.u32(128 << 20));
    put(&folder, "in.pcapng", &file);
    for capture in ["in.pcapng", "/dev/stdin"] {
        let script = "ulimit -v 120000; cat in.pcapng | \"$0\" \"$@\"";
        let output = std::process::Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", script, env!("CARGO_BIN_EXE_ebpfjoin"), capture, "ev.parquet"])
            .args(["-o", "out.pcapng", "--threads", "1", "--quiet"])
            .output()
            .expect("a shell");
        let want = format!(
            "ebpfjoin: {capture}: damaged at byte {end}, after 1 packet: cut off, 1000 bytes into a \
             block; everything before it was dealt with\n"
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), want);
    }
}

#[test]
fn more_interfaces_than_anybody_has() {
    let (order, folder) = (Order { big: false }, scene());
    let mut bare = order.u16(101);
    bare.resize(8, 0);
    let bare = order.block(1, &bare);
    let mut file = [begin(&order), described(&order, "eth0"), bare.repeat(70_000)].concat();
    file.extend(
        [described(&order, "eth1"), packet(&order, 3, 0), packet(&order, 4, 70_001)].concat(),
    );
    put(&folder, "in.pcapng", &file);
    let output = joined(&folder, LITTLE, &[]);
    assert!(comments(&read(&output)).iter().all(Option::is_some));

    // Of the last one that is known, and of one that there is no room for.
    let known = (1 << 20) - 1;
    let mut file = [begin(&order), bare.repeat(known - 1), described(&order, "eth0")].concat();
    file.extend([described(&order, "eth1"), packet(&order, 3, known as u32 - 1)].concat());
    file.extend(packet(&order, 4, known as u32));
    put(&folder, "in.pcapng", &file);
    let output = joined(&folder, [400, 20], &[]);
    let comments = comments(&read(&output));
    assert!(comments[0].is_some() && comments[1].is_none());
}
