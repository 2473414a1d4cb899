//! The sockets that exist at one moment, in every network namespace, each with the process that
//! holds it. Taken once the hooks are attached, on a thread of its own: whatever is opened
//! meanwhile the hooks see, and the kernel's ids tell which sockets those are.

use std::{collections::HashSet, io, path::PathBuf, sync::mpsc::SyncSender};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use schema::Proto;

use super::{
    Answer,
    diag::{AF_INET, AF_INET6, DiagSocket, dump_request, parse_socket},
    holders::Holders,
};
use crate::{clock::boot_ns, namespaces::Namespace, netlink::ask, row::Owner};

/// Sockets reported at most: some 40 MB while they wait. What is left out is counted.
const MAX_SOCKETS: usize = 262_144;

/// What is dumped of every namespace.
const TABLES: [(Proto, u8); 4] =
    [(Proto::TCP, AF_INET), (Proto::TCP, AF_INET6), (Proto::UDP, AF_INET), (Proto::UDP, AF_INET6)];

/// A socket that existed when the snapshot was taken.
#[derive(Clone, Copy, Debug)]
pub struct Existing {
    /// When it was seen, `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// TCP or UDP.
    pub proto: Proto,
    /// What the kernel says of it.
    pub socket: DiagSocket,
    /// The kernel's id of its namespace; 0 if unknown.
    pub netns_cookie: u64,
    /// The process that holds it, where that is certain.
    pub owner: Option<Owner>,
    /// A TCP connection to a port that is listened on in its namespace: it was accepted.
    pub accepted: bool,
}

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The kernel's id of the namespace; 0 if unknown.
    pub(super) netns_cookie: u64,
    /// Where it can be opened; `None` for our own.
    pub(super) path: Option<PathBuf>,
}

/// Takes a snapshot and answers with it. Ends early if nobody listens any more.
pub(super) fn take(places: &[Place], answers: &SyncSender<Answer>) {
    let mut found = vec![];
    let mut left_out = 0;
    for place in places {
        // A namespace that is gone, or can't be asked, has nothing to tell.
        let _ = dump_place(place, &mut found, &mut left_out);
    }
    let wanted: HashSet<u32> = found.iter().map(|existing| existing.socket.inode).collect();
    let mut holders = Holders::find(&wanted);
    let listeners: HashSet<(u64, u16)> = found
        .iter()
        .filter(|existing| existing.socket.listens)
        .map(|existing| (existing.netns_cookie, existing.socket.local.port()))
        .collect();
    for mut existing in found {
        let DiagSocket { inode, local, remote, listens, .. } = existing.socket;
        existing.owner = holders.owner(inode, remote.is_none());
        existing.accepted = !listens
            && existing.proto == Proto::TCP
            && listeners.contains(&(existing.netns_cookie, local.port()));
        if answers.send(Answer::Existing(Box::new(existing))).is_err() {
            return;
        }
    }
    let _ = answers.send(Answer::SnapshotTaken { left_out });
}

fn dump_place(place: &Place, found: &mut Vec<Existing>, left_out: &mut u64) -> io::Result<()> {
    let netns_cookie = place.netns_cookie;
    let mut dump = || -> io::Result<()> {
        for (proto, family) in TABLES {
            let boot_ns = boot_ns();
            ask(NETLINK_SOCK_DIAG, &dump_request(family, proto), |message| {
                // A socket without a holder, or without a port, has nothing to do with any packet.
                let socket = parse_socket(message)
                    .filter(|socket| socket.inode != 0 && socket.local.port() != 0);
                match socket {
                    Some(_) if found.len() >= MAX_SOCKETS => *left_out += 1,
                    Some(socket) => found.push(Existing {
                        boot_ns,
                        proto,
                        socket,
                        netns_cookie,
                        owner: None,
                        accepted: false,
                    }),
                    None => {}
                }
            })?;
        }
        Ok(())
    };
    match &place.path {
        None => dump(),
        Some(path) => Namespace::open(path)?.run(dump)?,
    }
}
