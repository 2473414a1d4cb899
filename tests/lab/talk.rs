//! What is true of a packet, from what the two ends of each talk say of themselves.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::node::{End, Process};

/// A talk that is over, as its two ends saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) proto: &'static str,
    pub(crate) client: End,
    pub(crate) server: End,
    /// The process between them that has a connection with each, if there is one.
    pub(crate) proxy: Option<Process>,
}

/// Who is at one end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) process: Process,
    /// The process behind it.
    pub(crate) via: Option<Process>,
}

/// One connection: every address that either of its ends has, to itself or to the other. Whatever
/// translates between them, a packet has one of the first on one end and one of the second on the
/// other, half-translated ones included.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) proto: &'static str,
    pub(crate) ends: [(BTreeSet<SocketAddr>, Who); 2],
}

impl Talk {
    /// The connections it is made of.
    pub(crate) fn legs(&self) -> Vec<Leg> {
        let (client, server) = (self.client, self.server);
        let who = |process| Who { process, via: None };
        let behind = |process, via| Who { process, via: Some(via) };
        let leg = |left: &[SocketAddr], of_left, right: &[SocketAddr], of_right| Leg {
            proto: self.proto,
            ends: [
                (left.iter().copied().collect(), of_left),
                (right.iter().copied().collect(), of_right),
            ],
        };
        match self.proxy {
            None => vec![leg(
                &[client.local, server.peer],
                who(client.process),
                &[server.local, client.peer],
                who(server.process),
            )],
            Some(proxy) => vec![
                leg(
                    &[client.local],
                    who(client.process),
                    &[client.peer],
                    behind(proxy, server.process),
                ),
                leg(
                    &[server.peer],
                    behind(proxy, client.process),
                    &[server.local],
                    who(server.process),
                ),
            ],
        }
    }
}

impl Leg {
    /// Who sent and who received a packet with these addresses; `None` if it is none of this leg.
    pub(crate) fn ends_of(
        &self,
        proto: &str,
        src: SocketAddr,
        dst: SocketAddr,
    ) -> Option<[Who; 2]> {
        let [(left, of_left), (right, of_right)] = &self.ends;
        if proto != self.proto {
            None
        } else if left.contains(&src) && right.contains(&dst) {
            Some([*of_left, *of_right])
        } else if right.contains(&src) && left.contains(&dst) {
            Some([*of_right, *of_left])
        } else {
            None
        }
    }
}
