//! The sockets that exist at one moment, in every network namespace, each with the process that
//! holds it. Taken once the hooks are attached, on a thread of its own: whatever is opened
//! meanwhile the hooks see, and the kernel's ids tell which sockets those are.

use std::{collections::HashSet, io, sync::mpsc::SyncSender};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use schema::Proto;

use super::{
    Answer,
    diag::{AF_INET, AF_INET6, DiagSocket, dump_request, parse_socket},
    holders::Holders,
};
use crate::{
    clock::boot_ns,
    namespaces::{Found, Namespace, current_cookie, find_all, own_namespace},
    netlink::ask,
    row::Owner,
};

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

/// Takes a snapshot and answers with it. Ends early if nobody listens any more. Takes
/// `CAP_SYS_ADMIN` for other namespaces, and `CAP_SYS_PTRACE` to see who holds a socket.
pub(super) fn take(answers: &SyncSender<Answer>) {
    let (spaces, mut left_out) = find_all();
    let (_, own) = own_namespace();
    let mut found = vec![];
    for Found { inode, path, .. } in spaces {
        let mut dump = || -> io::Result<u64> {
            let netns_cookie = current_cookie().unwrap_or(0);
            for (proto, family) in TABLES {
                dump_table(proto, family, netns_cookie, &mut found, &mut left_out)?;
            }
            Ok(netns_cookie)
        };
        let dumped = if own == Some(inode) {
            dump()
        } else {
            Namespace::open_same(&path, inode).and_then(|namespace| namespace.run(dump)?)
        };
        // A namespace that is gone, or can't be asked, has nothing to tell.
        if let Ok(netns_cookie) = dumped
            && netns_cookie != 0
            && answers.send(Answer::Namespace { netns_cookie, inode }).is_err()
        {
            return;
        }
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

fn dump_table(
    proto: Proto,
    family: u8,
    netns_cookie: u64,
    found: &mut Vec<Existing>,
    left_out: &mut u64,
) -> io::Result<()> {
    let boot_ns = boot_ns();
    ask(NETLINK_SOCK_DIAG, &dump_request(family, proto), |message| {
        // A socket without a holder, or without a port, has nothing to do with any packet.
        let socket =
            parse_socket(message).filter(|socket| socket.inode != 0 && socket.local.port() != 0);
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
    })
}
