//! The bytes of a packet, and of the blocks of a pcapng file as the recorder writes it.

use std::net::{IpAddr, SocketAddr};

/// FIN, SYN, PSH, ACK of TCP.
pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// A packet; its frame is at least as long as its headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    /// Flags, sequence number and acknowledgement; without them it is UDP.
    pub(super) tcp: Option<(u8, u32, u32)>,
    /// Bytes of the frame.
    pub(super) length: u16,
}

impl Packet {
    /// Bytes of its payload.
    pub(super) fn payload(&self) -> usize {
        let ip = if self.src.is_ipv6() { 40 } else { 20 };
        usize::from(self.length).saturating_sub(14 + ip + self.transport())
    }

    fn transport(&self) -> usize {
        if self.tcp.is_some() { 20 } else { 8 }
    }

    /// Appends the frame: Ethernet, IP, TCP or UDP. Checksums are left out, as they are where the
    /// network card adds them.
    fn write(&self, out: &mut Vec<u8>, noise: &[u8]) {
        let payload = self.payload();
        let segment = (self.transport() + payload) as u16;
        let protocol = if self.tcp.is_some() { 6 } else { 17 };
        out.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                out.extend([8, 0, 0x45, 0]);
                out.extend((20 + segment).to_be_bytes());
                out.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
                out.extend(src.octets());
                out.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                out.extend(segment.to_be_bytes());
                out.extend([protocol, 64]);
                out.extend(src.octets());
                out.extend(dst.octets());
            }
            _ => unreachable!("both ends are of one family"),
        }
        out.extend(self.src.port().to_be_bytes());
        out.extend(self.dst.port().to_be_bytes());
        match self.tcp {
            Some((flags, seq, ack)) => {
                out.extend(seq.to_be_bytes());
                out.extend(ack.to_be_bytes());
                out.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
            }
            None => {
                out.extend(segment.to_be_bytes());
                out.extend([0, 0]);
            }
        }
        out.extend(&noise[..payload]);
    }
}

/// Appends an enhanced packet block that holds at most `snap` bytes of the frame.
pub(super) fn write_block(out: &mut Vec<u8>, packet: &Packet, ns: u64, snap: u16, noise: &[u8]) {
    let start = out.len();
    out.resize(start + 28, 0);
    packet.write(out, noise);
    let original = (out.len() - start - 28) as u32;
    let captured = original.min(u32::from(snap));
    out.truncate(start + 28 + captured as usize);
    out.resize(out.len().next_multiple_of(4), 0);
    let total = (out.len() - start + 4) as u32;
    out.extend(total.to_le_bytes());
    let header = [6, total, 0, (ns >> 32) as u32, ns as u32, captured, original];
    for (place, word) in out[start..start + 28].chunks_exact_mut(4).zip(header) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// A section and an Ethernet interface with nanoseconds, of this host.
pub(super) fn prelude(host: &str, snap: u16) -> Vec<u8> {
    let comment = format!("ebpfrec host={host} boot_id={}", super::BOOT_ID);
    let mut section = [0x1a2b_3c4d_u32, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat();
    section.extend(options(&[(1, comment.as_bytes()), (4, b"ebpfrec")]));
    let snap = if snap == u16::MAX { 0 } else { u32::from(snap) };
    let mut interface = [1, snap].map(u32::to_le_bytes).concat();
    interface.extend(options(&[(2, b"eth0"), (9, &[9])]));
    [block(0x0a0d_0d0a, &section), block(1, &interface)].concat()
}

fn options(tags: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![];
    for (code, value) in tags {
        bytes.extend(code.to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend([0; 4]);
    bytes
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes(), &total, body, &total].concat()
}
