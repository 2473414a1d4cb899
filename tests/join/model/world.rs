//! What a recording and a capture hold, as plain values, and their text as a scenario. The reference
//! sees nothing else; what is true of each packet stands beside it, for the judge alone.

use std::fmt::Write as _;
use std::net::SocketAddrV4;

/// Microseconds since the beginning of the scenario.
pub(super) type Us = i64;

pub(super) const MS: Us = 1_000;
pub(super) const SECOND: Us = 1_000_000;

/// One row of the recording. Which fields mean something depends on `kind`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) at: Us,
    pub(super) kind: &'static str,
    /// `-` where the row tells no process.
    pub(super) who: String,
    /// 0 where the row is of no socket.
    pub(super) cookie: u64,
    pub(super) ns: u64,
    pub(super) udp: bool,
    pub(super) local: Option<SocketAddrV4>,
    pub(super) remote: Option<SocketAddrV4>,
    /// For `nat`: source and destination as sent onwards.
    pub(super) onward: Option<(SocketAddrV4, SocketAddrV4)>,
    pub(super) ct: u32,
    /// `key=value` words that only the text needs.
    pub(super) more: String,
}

impl Row {
    pub(super) fn new(at: Us, kind: &'static str) -> Self {
        Self {
            at,
            kind,
            who: "-".into(),
            cookie: 0,
            ns: 0,
            udp: false,
            local: None,
            remote: None,
            onward: None,
            ct: 0,
            more: String::new(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} {}", seconds(self.at), self.kind);
        let mut add = |word: String| write!(text, " {word}").expect("text");
        if self.cookie != 0 {
            add(format!("{}#{}", self.who, self.cookie));
        } else if self.kind == "exec" {
            add(self.who.clone());
        }
        let end = |end: &SocketAddrV4| {
            if end.port() == 0 { end.ip().to_string() } else { end.to_string() }
        };
        self.local.iter().for_each(|local| add(end(local)));
        self.remote.iter().for_each(|remote| add(format!("> {}", end(remote))));
        self.onward.iter().for_each(|(src, dst)| add(format!("=> {src} > {dst}")));
        if self.ns != 0 {
            add(format!("ns={}", self.ns));
        }
        if self.udp {
            add("proto=udp".into());
        }
        if self.ct != 0 {
            add(format!("ct={}", self.ct));
        }
        add(self.more.clone());
        text.trim_end().to_owned()
    }
}

/// One packet of the capture.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) at: Us,
    pub(super) src: SocketAddrV4,
    pub(super) dst: SocketAddrV4,
    pub(super) udp: bool,
    /// As tcpdump writes them; empty for UDP.
    pub(super) flags: &'static str,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Where it was seen, in `World::interfaces`.
    pub(super) interface: usize,
    /// Who really sent and received it: every process that counts as right, none if nobody did.
    pub(super) truth: [Vec<String>; 2],
}

/// An interface of the recorded host.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: &'static str,
    pub(super) ns: u64,
    pub(super) index: u32,
    /// The namespace at the other end of a veth.
    pub(super) beyond: Option<u64>,
    /// How a packet names it: `if=NAME`, `if=NAME ns=N`, or by its index where all are captured.
    pub(super) named: String,
}

/// One recording, one capture.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    /// From when to when the recording goes.
    pub(super) recorded: (Us, Us),
    pub(super) interfaces: Vec<Interface>,
    pub(super) rows: Vec<Row>,
    pub(super) packets: Vec<Packet>,
}

impl World {
    /// The scenario, for `crate::spec`.
    pub(super) fn text(&self) -> String {
        let (from, to) = self.recorded;
        let mut text = format!("recorded {} {}\n", seconds(from), seconds(to));
        for row in &self.rows {
            text += &row.text();
            text.push('\n');
        }
        for packet in &self.packets {
            let Packet { src, dst, seq, ack, .. } = packet;
            let flags = if packet.udp { "udp" } else { packet.flags };
            let named = &self.interfaces[packet.interface].named;
            let at = seconds(packet.at);
            writeln!(text, "{at} pkt {src} > {dst} {flags} seq={seq} ack={ack} {named}")
                .expect("text");
        }
        text
    }
}

fn seconds(us: Us) -> String {
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", us.abs() / SECOND, us.abs() % SECOND)
}
