//! Who takes part in traffic, coarsely enough to be counted for ever: a program in its container, or
//! an address of which nobody is known.

use schema::annotation::Reason;
use schema::{EventDirection, FiveTuple, Proto};

use crate::attribute::{Holder, SideVerdict, Verdict, Via};
use crate::events::{ContainerId, HostId, IdentityId, Recordings, TextId};

/// All processes of one name in one container, or outside of all, on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The machine.
    pub host: HostId,
    /// The processes' name.
    pub comm: TextId,
    /// The container's name.
    pub container: TextId,
    /// The container's id, where it has no name.
    pub container_id: TextId,
    /// `namespace/name`.
    pub pod: TextId,
}

impl Group {
    /// The one that a process belongs to.
    #[must_use]
    pub fn of(recordings: &Recordings, owner: IdentityId) -> Self {
        let identity = recordings.identity(owner);
        let has_name = identity.container_name != TextId::NONE;
        Self {
            host: identity.host,
            comm: identity.comm,
            container: identity.container_name,
            container_id: if has_name { TextId::NONE } else { identity.container_id },
            pod: identity.pod,
        }
    }
}

/// Whom a program forwards for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behind {
    /// Nobody, or nobody is known.
    Nobody,
    /// A program.
    Group(Group),
    /// Somebody in this container.
    Container(ContainerId),
}

/// One end of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// A program.
    Named(Group, Behind),
    /// An address (IPv4 as IPv4-mapped), and why nobody is known there.
    Unnamed([u8; 16], Reason),
}

/// Who asks whom for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Who opened the connection; where nobody knows, the end with the higher port.
    pub client: Party,
    /// The other end.
    pub server: Party,
    /// The transport protocol.
    pub proto: Proto,
    /// The server's port; 0 where there are none.
    pub port: u16,
}

impl Pair {
    /// The pair that a packet belongs to, and whether it goes from client to server.
    #[must_use]
    pub fn of(recordings: &Recordings, verdict: &Verdict, tuple: FiveTuple) -> (Self, bool) {
        let forward = is_from_client(recordings, verdict, tuple);
        let src = party(recordings, &verdict.src, tuple.src.mapped());
        let dst = party(recordings, &verdict.dst, tuple.dst.mapped());
        let (client, server, end) =
            if forward { (src, dst, tuple.dst) } else { (dst, src, tuple.src) };
        (Self { client, server, proto: tuple.proto, port: end.port() }, forward)
    }
}

fn party(recordings: &Recordings, side: &SideVerdict, address: [u8; 16]) -> Party {
    match *side {
        SideVerdict::Unnamed(reason) => Party::Unnamed(address, reason),
        SideVerdict::Named { owner, via, .. } => {
            let behind = match via {
                Via::Process { owner, .. } => Behind::Group(Group::of(recordings, owner)),
                Via::Container(Some(container), _) => Behind::Container(container),
                Via::Nobody | Via::Container(None, _) => Behind::Nobody,
            };
            Party::Named(Group::of(recordings, owner), behind)
        }
    }
}

fn is_from_client(recordings: &Recordings, verdict: &Verdict, tuple: FiveTuple) -> bool {
    let opened = |side: &SideVerdict| match side {
        SideVerdict::Named { holder: Holder::Conversation(id), .. } => {
            let life = recordings.life_of(*id);
            life.direction.map(|direction| direction == EventDirection::Out)
        }
        SideVerdict::Named { holder: Holder::Listener(_), .. } => Some(false),
        SideVerdict::Unnamed(_) => None,
    };
    let by_dst = || opened(&verdict.dst).map(|it_did| !it_did);
    opened(&verdict.src).or_else(by_dst).unwrap_or(tuple.dst.port() <= tuple.src.port())
}
