//! Lines of a scenario as packets of a capture.

use std::net::{IpAddr, SocketAddr};

use super::{number, value};

/// A capture: interfaces by name, and packets.
#[derive(Default)]
pub(super) struct Capture {
    pub(super) boot_id: Option<String>,
    interfaces: Vec<Interface>,
    packets: Vec<(usize, i64, Vec<u8>)>,
}

#[derive(Clone, PartialEq)]
struct Interface {
    name: String,
    /// Raw IP, or Linux cooked v2.
    link: u16,
    netns: Option<u64>,
}

const RAW: u16 = 101;
const LINUX_SLL2: u16 = 276;

impl Capture {
    /// `words` are what follows time and `pkt`.
    pub(super) fn add(&mut self, time_ns: i64, words: &[&str]) {
        let index: Option<u32> = number(words, "index");
        let interface = Interface {
            name: value(words, "if").unwrap_or(if index.is_some() { "any" } else { "eth0" }).into(),
            link: if index.is_some() { LINUX_SLL2 } else { RAW },
            netns: number(words, "ns"),
        };
        let at = self.interfaces.iter().position(|known| *known == interface);
        let at = at.unwrap_or_else(|| {
            self.interfaces.push(interface);
            self.interfaces.len() - 1
        });
        let mut data = datagram(words);
        if let Some(index) = index {
            let ethertype: u16 = if data[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
            let mut cooked = [&ethertype.to_be_bytes()[..], &[0, 0]].concat();
            cooked.extend(index.to_be_bytes());
            cooked.extend([0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
            data.splice(0..0, cooked);
        }
        self.packets.push((at, time_ns, data));
    }

    /// A pcapng file that has all packets so many times, one round after the other.
    pub(super) fn bytes(&self, rounds: usize) -> Vec<u8> {
        let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        header.extend([1, 0, 0, 0]);
        header.extend([0xff; 8]);
        if let Some(boot_id) = &self.boot_id {
            header.extend(options(&[(1, format!("ebpfrec host=x boot_id={boot_id}").into())]));
        }
        let mut file = block(0x0a0d_0d0a, &header);
        for interface in &self.interfaces {
            let mut body = interface.link.to_le_bytes().to_vec();
            body.extend([0; 6]);
            let mut all = vec![(2, interface.name.clone().into_bytes()), (9, vec![9])];
            if let Some(netns) = interface.netns {
                all.insert(0, (1, format!("ebpfrec netns={netns} ifindex=2").into_bytes()));
            }
            body.extend(options(&all));
            file.extend(block(1, &body));
        }
        for (interface, time_ns, data) in std::iter::repeat_n(&self.packets, rounds).flatten() {
            let time = u64::try_from(*time_ns).expect("after 1970");
            let length = u32::try_from(data.len()).expect("short");
            let words = [
                u32::try_from(*interface).expect("few"),
                (time >> 32) as u32,
                (time & 0xffff_ffff) as u32,
                length,
                length,
            ];
            let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            body.extend(data);
            body.resize(body.len().next_multiple_of(4), 0);
            file.extend(block(6, &body));
        }
        file
    }
}

fn options(all: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![];
    for (code, value) in all {
        bytes.extend(code.to_le_bytes());
        bytes.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend([0; 4]);
    bytes
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

/// `A > B FLAGS` is TCP; `A > B udp`; `A > B error C > D FLAGS` is an ICMP error from A to B about a
/// packet from C to D; `fragment=ID` is the first fragment, `A > B later=ID` another one.
fn datagram(words: &[&str]) -> Vec<u8> {
    let plain: Vec<_> = words.iter().copied().filter(|word| !word.contains('=')).collect();
    let [src, ">", dst, ref rest @ ..] = plain[..] else { panic!("a packet: {words:?}") };
    let address = |text: &str| -> SocketAddr {
        let ip = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
        text.parse().or_else(|_| ip()).unwrap_or_else(|_| panic!("an address: {text}"))
    };
    let (src, dst) = (address(src), address(dst));
    let proto = value(words, "proto");
    match rest {
        ["raw"] => vec![0x15; 40],
        ["error", inner @ ..] => {
            let about = datagram(&[inner, &["seq=100"]].concat());
            // Port unreachable.
            let kind = if src.is_ipv4() { [3, 3] } else { [1, 4] };
            let error = [&kind[..], &[0; 6], &about[..about.len().min(48)]].concat();
            ip(if src.is_ipv4() { 1 } else { 58 }, src.ip(), dst.ip(), &error, 0, 0)
        }
        ["udp"] if value(words, "later").is_some() => {
            let id = number(words, "later").unwrap_or_default();
            ip(17, src.ip(), dst.ip(), &[0xee; 24], id, 3)
        }
        ["udp"] => {
            let mut data = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
            data.extend([0, 16, 0, 0]);
            data.extend([b'x'; 8]);
            let id = number(words, "fragment");
            ip(
                17,
                src.ip(),
                dst.ip(),
                &data,
                id.unwrap_or(0),
                if id.is_some() { 0x2000 } else { 0 },
            )
        }
        ["echo"] => ip(1, src.ip(), dst.ip(), &[8, 0, 0, 0, 0, 1, 0, 1], 0, 0),
        [flags] => {
            let bits = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('.', 16)];
            let flags = flags
                .chars()
                .map(|flag| bits.iter().find(|(name, _)| *name == flag).expect("a flag").1);
            let flags: u8 = flags.sum();
            let mut data = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
            data.extend(number::<u32>(words, "seq").unwrap_or(100).to_be_bytes());
            data.extend(number::<u32>(words, "ack").unwrap_or(101).to_be_bytes());
            data.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            let cut = number(words, "cut").unwrap_or(usize::MAX);
            let proto = proto.map_or(6, |proto| proto.parse().expect("a number"));
            let mut whole = ip(proto, src.ip(), dst.ip(), &data, 0, 0);
            whole.truncate(cut);
            whole
        }
        _ => panic!("a packet: {words:?}"),
    }
}

fn ip(proto: u8, src: IpAddr, dst: IpAddr, payload: &[u8], id: u16, fragment: u16) -> Vec<u8> {
    let mut packet;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet = vec![0x45, 0];
            packet.extend(u16::try_from(20 + payload.len()).expect("short").to_be_bytes());
            packet.extend(id.to_be_bytes());
            packet.extend(fragment.to_be_bytes());
            packet.extend([64, proto, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet = vec![0x60, 0, 0, 0];
            packet.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
            packet.extend([proto, 64]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => panic!("{src} > {dst}"),
    }
    packet.extend(payload);
    packet
}
