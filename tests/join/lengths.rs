//! Section headers that tell how long their section is tell the truth in the output, too, or nothing.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::blocks::{comments, read};
use crate::scene::{Order, begin, datagrams, described, packet_ns, put, scene};
use crate::tools::{ebpfjoin, join};

/// A section that tells its length.
fn section(big: bool, packets: usize, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let order = Order { big };
    let mut body = described(&order, "eth0");
    let all = datagrams();
    for number in 0..packets {
        let number = number % all.len();
        body.extend(order.packet(packet_ns(number), &all[number], options));
    }
    let mut file = begin(&order);
    let length = body.len() as u64;
    let length = if big { length.to_be_bytes() } else { length.to_le_bytes() };
    file[16..24].copy_from_slice(&length);
    [file, body].concat()
}

/// For each section, the length that it tells and the one that it has.
fn lengths(file: &[u8]) -> Vec<(u64, u64)> {
    let (mut at, mut found, mut big) = (0, vec![], false);
    while at < file.len() {
        let bytes =
            |from: usize| <[u8; 4]>::try_from(&file[at + from..at + from + 4]).expect("four");
        let number = |big: bool, from: usize| {
            if big { u32::from_be_bytes(bytes(from)) } else { u32::from_le_bytes(bytes(from)) }
        };
        if bytes(0) == [10, 13, 13, 10] {
            big = bytes(8)[0] == 0x1a;
            let (high, low) = if big { (16, 20) } else { (20, 16) };
            let told = u64::from(number(big, high)) << 32 | u64::from(number(big, low));
            found.push((told, 0));
        } else {
            found.last_mut().expect("a section").1 += u64::from(number(big, 4));
        }
        at += number(big, 4) as usize;
    }
    found
}

fn output(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("out.pcapng")).expect("output")
}

#[test]
fn a_length_grows_with_its_section() {
    let folder = scene();
    // The long one reaches over several pieces; the last is not told how long it is.
    let order = Order { big: false };
    let capture = [
        section(false, 3, &[]),
        section(true, 20_000, &[]),
        section(true, 0, &[]),
        section(false, 1, &[(2, vec![0; 4])]),
        section(false, 2, &[]),
        begin(&order),
        described(&order, "eth0"),
    ]
    .concat();
    put(&folder, "in.pcapng", &capture);
    for more in [&["--threads", "1"][..], &["--threads", "3", "--names"]] {
        join(folder.path(), "in.pcapng", more);
        let written = output(&folder);
        let found = lengths(&written);
        assert_eq!(found.len(), 6);
        assert!(found[..5].iter().all(|(told, has)| told == has), "{found:?}");
        assert_eq!(found[5].0, u64::MAX);
        assert!(found[1].1 > 20_000 * 150 && written.len() > capture.len());
        // It shrinks again, too, to what it was.
        fs::rename(folder.path().join("out.pcapng"), folder.path().join("again")).expect("moved");
        join(folder.path(), "again", &["--detail", "none", "--no-pid-option"]);
        assert!(output(&folder) == capture);
    }
    // Nothing is said of any packet.
    join(folder.path(), "in.pcapng", &["--detail", "none"]);
    assert!(output(&folder) == capture);
}

#[test]
fn a_stream_does_not_tell_what_it_cannot_know() {
    let folder = scene();
    let capture = [section(false, 3, &[]), section(true, 3, &[])].concat();
    put(&folder, "in.pcapng", &capture);
    let piped = |input: &str, more: &[&str]| {
        let args = [&[input, "ev.parquet", "-o", "-", "--quiet"], more].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
            .current_dir(folder.path())
            .args(args)
            .output()
            .expect("ebpfjoin starts");
        assert!(output.status.success());
        output.stdout
    };
    let none = ["--detail", "none", "--no-pid-option"];
    let written = piped("in.pcapng", &[]);
    assert!(comments(&read(&written)).iter().all(Option::is_some));
    assert!(lengths(&written).iter().all(|(told, _)| *told == u64::MAX));
    assert!(piped("in.pcapng", &none) == capture, "nothing can grow");
    // What had annotations shrinks.
    join(folder.path(), "in.pcapng", &[]);
    let written = piped("out.pcapng", &none);
    assert!(lengths(&written).iter().all(|(told, _)| *told == u64::MAX));
    // Nor does a compressed file.
    let args = ["in.pcapng", "ev.parquet", "-o", "out.pcapng.lz4", "--quiet"];
    assert!(ebpfjoin(folder.path(), &args).status.success());
    join(folder.path(), "out.pcapng.lz4", &none);
    assert!(lengths(&output(&folder)).iter().all(|(told, _)| *told == u64::MAX));
}
