//! The packets of the incident as a pcapng file, and the real `ebpfjoin` that makes a table of them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::world::{End, Packet, World};

const INTERFACES: [&str; 2] = ["eth0", "docker0"];
const ETHERNET: u16 = 1;

/// Writes `trace.pcapng`, and the table of it.
pub(crate) fn write(world: &World, folder: &Path) {
    std::fs::write(folder.join("trace.pcapng"), pcapng(&world.packets)).expect("written");
    join(folder);
}

/// Writes `packets.parquet` by joining `trace.pcapng` with the recording of `web-1`, which is where it
/// was captured.
pub(crate) fn join(folder: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"))
        .current_dir(folder)
        .args(["trace.pcapng", "ev-web-1.parquet", "-o", "enriched.pcapng", "--quiet"])
        .args(["--packets", "packets.parquet"])
        .output()
        .expect("ebpfjoin starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn pcapng(packets: &[Packet]) -> Vec<u8> {
    let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    header.extend([1, 0, 0, 0]);
    header.extend([0xff; 8]);
    header.extend(options(&[(1, b"ebpfrec host=web-1 boot_id=boot-web-1")]));
    let mut file = block(0x0a0d_0d0a, &header);
    for name in INTERFACES {
        let mut body = ETHERNET.to_le_bytes().to_vec();
        body.extend([0; 6]);
        // Times are nanoseconds.
        body.extend(options(&[(2, name.as_bytes()), (9, &[9])]));
        file.extend(block(1, &body));
    }
    for packet in packets {
        let interface = INTERFACES.iter().position(|&name| name == packet.interface);
        let time = packet.at.cast_unsigned();
        let data = frame(packet);
        let length = u32::try_from(data.len()).expect("short");
        let interface = u32::try_from(interface.expect("one of them")).expect("few");
        let words = [interface, (time >> 32) as u32, (time & 0xffff_ffff) as u32, length, length];
        let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}

fn options(all: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![];
    for (code, value) in all {
        bytes.extend(code.to_le_bytes());
        bytes.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend([0; 4]);
    bytes
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

fn frame(packet: &Packet) -> Vec<u8> {
    let mut data = vec![2; 12];
    let Some(ends) = &packet.ends else {
        data.extend([8, 6]);
        data.resize(42, 0);
        return data;
    };
    data.extend([8, 0, 0x45, 0]);
    data.extend((40 + packet.payload).to_be_bytes());
    data.extend([0, 0, 0, 0, 64, 6, 0, 0]);
    let address = |end: &End| end.0.parse::<Ipv4Addr>().expect("IPv4").octets();
    data.extend(ends.iter().flat_map(address));
    data.extend(ends.iter().flat_map(|end| end.1.to_be_bytes()));
    data.extend([0, 0, 0, 100, 0, 0, 0, 101, 0x50, packet.flags, 0xff, 0xff, 0, 0, 0, 0]);
    data.resize(data.len() + usize::from(packet.payload), b'x');
    data
}
