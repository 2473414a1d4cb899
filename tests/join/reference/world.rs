//! What a world consists of: rows of a recording and packets of a capture, as lines of a scenario.

use std::fmt;
use std::net::SocketAddr;

/// Both ends of a packet or a socket: where from, where to.
pub(crate) type Tuple = (SocketAddr, SocketAddr);

/// A row of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Milliseconds; no two rows or packets have the same.
    pub(crate) ms: i64,
    pub(crate) kind: &'static str,
    /// The process's name.
    pub(crate) process: Option<String>,
    pub(crate) cookie: u64,
    /// Inode of the network namespace.
    pub(crate) netns: u64,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
    /// What a translation makes of both ends.
    pub(crate) onward: Option<Tuple>,
    /// Further words.
    pub(crate) more: String,
}

/// A packet of the capture.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) ms: i64,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) load: Load,
    /// Namespace of the interface that captured it.
    pub(crate) netns: u64,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Udp,
    /// Flags as tcpdump writes them, sequence and acknowledgement number.
    Tcp(&'static str, u32, u32),
}

impl Load {
    pub(crate) fn is_syn(self) -> bool {
        matches!(self, Self::Tcp("S", ..))
    }

    pub(crate) fn is_syn_ack(self) -> bool {
        matches!(self, Self::Tcp("S.", ..))
    }
}

fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", ms.abs() / 1000, ms.abs() % 1000)
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", seconds(self.ms), self.kind)?;
        if let Some(process) = &self.process {
            write!(out, " {process}#{}", self.cookie)?;
        }
        match (self.local, self.remote) {
            (Some(local), _) if local.port() == 0 => write!(out, " {}", local.ip())?,
            (Some(local), Some(remote)) => write!(out, " {local} > {remote}")?,
            (Some(local), None) => write!(out, " {local}")?,
            _ => {}
        }
        if let Some((src, dst)) = self.onward {
            write!(out, " => {src} > {dst}")?;
        }
        if self.netns != 0 {
            write!(out, " ns={}", self.netns)?;
        }
        write!(out, " {}", self.more)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} pkt {} > {}", seconds(self.ms), self.src, self.dst)?;
        match self.load {
            Load::Udp => write!(out, " udp")?,
            Load::Tcp(flags, seq, ack) => write!(out, " {flags} seq={seq} ack={ack}")?,
        }
        write!(out, " ns={}", self.netns)
    }
}
