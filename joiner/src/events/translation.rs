//! Translations of addresses, as the event files tell of them: connections that conntrack
//! translated, and ports that were published.

use schema::{Endpoint, FiveTuple, Proto};

use super::host::HostId;
use super::place::{ContainerId, NamespaceId};

/// One connection that a namespace translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Where.
    pub host: HostId,
    /// In which namespace, if that is known.
    pub namespace: Option<NamespaceId>,
    /// As its first packet came.
    pub original: FiveTuple,
    /// As its first packet was sent onwards.
    pub onward: FiveTuple,
    /// The time of the row, nanoseconds since 1970; the translation is a little older.
    pub start_ns: i64,
    /// When it was said to have ended, which may be a minute late.
    pub end_ns: i64,
}

/// A port of a host that leads elsewhere, for whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Whose port, if a recording tells; a table of the user is of all hosts.
    pub host: Option<HostId>,
    /// In which namespace the port is, if that is known.
    pub namespace: Option<NamespaceId>,
    /// TCP, UDP or SCTP.
    pub proto: Proto,
    /// The port that is published; the address may be a wildcard.
    pub public: Endpoint,
    /// Where it leads.
    pub target: Endpoint,
    /// The container there.
    pub container: Option<ContainerId>,
    /// From, nanoseconds since 1970.
    pub from_ns: i64,
    /// To, nanoseconds since 1970.
    pub to_ns: i64,
}
