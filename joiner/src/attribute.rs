//! The policy: which process is at each end of a packet, how sure that is, or why nobody is named.
//! A pure function of the packet and of tables that were complete before the first packet, so that
//! packets can be decided in any order, on any thread.

use std::sync::Arc;

use schema::annotation::{Match, Reason};
use schema::flow::Way;
use schema::{Endpoint, FiveTuple, FlowKey, Proto};

use crate::decode::Packet;
use crate::events::{ConversationId, IdentityId, Recordings};
use crate::index::{Entry, Index};
use crate::syn::SynTable;

mod own_syn;
mod reason;
mod settle;
mod verdict;

use self::own_syn::OwnSyns;
use self::settle::{End, Fit};
pub use self::verdict::{SideVerdict, Verdict};

/// How far beyond its rows a life reaches, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Before the first row, where the capture has no SYN.
    pub before_ns: i64,
    /// After the close of a TCP socket: the kernel still speaks for it.
    pub after_ns: i64,
    /// After the close of a UDP socket, for what it sent: clock slack only.
    pub after_udp_ns: i64,
}

impl Default for Windows {
    fn default() -> Self {
        Self { before_ns: 5_000_000_000, after_ns: 60_000_000_000, after_udp_ns: 200_000_000 }
    }
}

/// Everything that decides about a packet.
#[derive(Debug)]
pub struct Matcher {
    recordings: Recordings,
    index: Arc<Index>,
    syns: SynTable,
    own_syns: OwnSyns,
    windows: Windows,
}

impl Matcher {
    /// A matcher over `recordings`, with the SYNs of the whole capture.
    #[must_use]
    pub fn new(
        recordings: Recordings,
        index: Arc<Index>,
        syns: SynTable,
        windows: Windows,
    ) -> Self {
        let own_syns = OwnSyns::assign(&recordings, &index, &syns, windows.before_ns);
        Self { recordings, index, syns, own_syns, windows }
    }

    /// The recordings it decides by.
    #[must_use]
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }

    /// Decides about a packet seen at `time_ns` (nanoseconds since 1970).
    #[must_use]
    pub fn attribute(&self, packet: &Packet, time_ns: i64) -> Verdict {
        let (key, way) = packet.tuple.canonical();
        let [senders, receivers] = self.index.both_ends(&key, way);
        let sender = Role { key: &key, way, packet, time_ns, sent: true };
        let receiver = Role { sent: false, ..sender };
        Verdict { src: self.side(senders, sender), dst: self.side(receivers, receiver) }
    }

    fn side(&self, entries: &[Entry], role: Role<'_>) -> SideVerdict {
        let mut fit = self.fit(entries, role);
        if fit == Fit::Nobody && role.packet.tuple.proto == Proto::UDP {
            let FiveTuple { proto, .. } = role.packet.tuple;
            let (local, remote) = role.ends();
            fit = self.fit(self.index.wildcard(proto, local.port(), remote), role);
        }
        let named = match fit {
            Fit::One(conversation, rule) => self.owner(conversation, role.time_ns).map(|owner| {
                SideVerdict::Named { conversation, owner, found: Match::direct(rule) }
            }),
            Fit::Several => Some(SideVerdict::Unnamed(Reason::Ambiguous)),
            Fit::Nobody => None,
        };
        named.unwrap_or_else(|| {
            let (local, _) = role.ends();
            SideVerdict::Unnamed(reason::why_nobody(&self.recordings.hosts, local, role.time_ns))
        })
    }

    fn fit(&self, entries: &[Entry], role: Role<'_>) -> Fit {
        if entries.is_empty() {
            return Fit::Nobody;
        }
        let end = End {
            entries,
            key: role.key,
            syns: &self.syns,
            own_syns: &self.own_syns,
            windows: self.windows,
            way: role.way,
            sent: role.sent,
        };
        end.settle(role.packet, role.time_ns, |conversation| self.owner(conversation, role.time_ns))
    }

    /// Who is at the local end of `conversation` at `time_ns`.
    fn owner(&self, conversation: ConversationId, time_ns: i64) -> Option<IdentityId> {
        let conversation = self.recordings.conversation(conversation);
        self.recordings
            .handed_over(conversation.life, time_ns)
            .or(conversation.owner)
            .or(self.recordings.life(conversation.life).owner)
    }
}

/// One end of one packet.
#[derive(Clone, Copy)]
struct Role<'a> {
    key: &'a FlowKey,
    /// The way the packet goes.
    way: Way,
    packet: &'a Packet,
    time_ns: i64,
    /// Whether this is the sending end.
    sent: bool,
}

impl Role<'_> {
    /// This end, then the other one.
    fn ends(&self) -> (Endpoint, Endpoint) {
        let FiveTuple { src, dst, .. } = self.packet.tuple;
        if self.sent { (src, dst) } else { (dst, src) }
    }
}

#[cfg(test)]
mod tests;
