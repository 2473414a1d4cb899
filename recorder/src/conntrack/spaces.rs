//! Network namespaces, by the numbers under which the kernel tells of them in ours. Never keeps one
//! open: that would keep it alive.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    path::PathBuf,
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{
    namespaces::{Found, Namespace, current_cookie, find_all, own_namespace},
    netlink::{attributes, messages},
};

/// `RTNLGRP_NSID`, as a bit.
const GROUPS: u32 = 1 << 27;
/// `RTM_NEWNSID`.
const NEW_NSID: u16 = 88;
/// `RTM_DELNSID`.
const DEL_NSID: u16 = 89;
/// `NETNSA_NSID`.
const NSID: u16 = 1;
/// struct rtgenmsg, padded.
const GENERIC_BYTES: usize = 4;
/// Bytes of broadcasts read at once.
const READ_BYTES: usize = 8 << 10;

/// A namespace, and whether its table is still to be read.
pub(super) struct Space {
    pub(super) found: Found,
    pub(super) is_own: bool,
    pub(super) is_new: bool,
}

/// What is known of namespaces.
pub(super) struct Spaces {
    own: Option<u64>,
    /// By inode.
    known: HashMap<u64, Known>,
    /// Number → inode.
    numbers: HashMap<i32, u64>,
    /// Tells of numbers that come and go; `None` where the kernel tells nobody.
    broadcasts: Option<Socket>,
    /// Namespaces there was no room for, at most so far.
    refused: u64,
}

#[derive(Debug)]
struct Known {
    /// The kernel's id, where it has one.
    cookie: Option<u64>,
    path: PathBuf,
}

/// What became of numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Namespaces that are gone: inode, and the kernel's id.
    pub(super) gone: Vec<(u64, Option<u64>)>,
    /// Whether there may be new namespaces.
    pub(super) new: bool,
    /// Whether some were lost: all have to be looked at again.
    pub(super) lost: bool,
}

impl Spaces {
    pub(super) fn new() -> Self {
        let (_, own) = own_namespace();
        Self {
            own,
            known: HashMap::new(),
            numbers: HashMap::new(),
            broadcasts: subscribe().ok(),
            refused: 0,
        }
    }

    /// The inode of the namespace with this number, if it has been found; without a number, our
    /// own.
    pub(super) fn inode(&self, number: Option<i32>) -> Option<u64> {
        number.map_or(self.own, |number| self.numbers.get(&number).copied())
    }

    /// The kernel's id of the namespace with this inode, if it is known.
    pub(super) fn cookie(&self, inode: u64) -> Option<u64> {
        self.known.get(&inode)?.cookie
    }

    /// Whether this namespace was there when it was last looked.
    pub(super) fn knows(&self, inode: u64) -> bool {
        self.known.contains_key(&inode)
    }

    /// Looks for namespaces, and gives a number to those that have none. Returns them all, and how
    /// many more than ever before there was no room for.
    pub(super) fn find(&mut self) -> (Vec<Space>, u64) {
        let (found, refused) = find_all();
        let mut spaces = vec![];
        for found in found {
            let is_own = Some(found.inode) == self.own;
            let is_new = !self.known.contains_key(&found.inode);
            if is_new && self.learn(&found, is_own).is_err() {
                // It is gone again.
                continue;
            }
            spaces.push(Space { found, is_own, is_new });
        }
        let more = refused.saturating_sub(self.refused);
        self.refused = self.refused.max(refused);
        (spaces, more)
    }

    fn learn(&mut self, found: &Found, is_own: bool) -> io::Result<()> {
        let namespace = Namespace::open_same(&found.path, found.inode)?;
        if !is_own {
            namespace.hear_of();
        }
        // Somebody may have given our own a number, too.
        if let Ok(Some(number)) = namespace.number() {
            self.numbers.insert(number, found.inode);
        }
        let cookie = if is_own { current_cookie() } else { namespace.cookie() };
        let known = Known { cookie: cookie.ok(), path: found.path.clone() };
        self.known.insert(found.inode, known);
        Ok(())
    }

    /// Forgets all that is known; for when numbers may have changed unheard.
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
        self.numbers.clear();
    }

    /// Takes what the kernel told of numbers.
    pub(super) fn take_numbers(&mut self) -> Numbers {
        let mut out = Numbers::default();
        let Some(broadcasts) = &self.broadcasts else { return out };
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let mut changes = vec![];
        loop {
            buffer.clear();
            match broadcasts.recv_from(&mut buffer, 0) {
                Ok((_, sender)) if sender.port_number() == 0 => changes.extend(changes_in(&buffer)),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => out.lost = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty; or broken, and then there is nothing to be had from it.
                Err(_) => break,
            }
        }
        for (removed, number) in changes {
            match self.numbers.get(&number) {
                // Somebody else may have been given the number since.
                Some(&inode) if removed && !self.is_still(inode, number) => {
                    self.numbers.remove(&number);
                    let known = self.known.remove(&inode);
                    out.gone.push((inode, known.and_then(|known| known.cookie)));
                    out.new = true;
                }
                // We may have given it ourselves.
                Some(_) => {}
                None => out.new |= !removed,
            }
        }
        out
    }

    /// Whether the namespace is there, and has the number.
    fn is_still(&self, inode: u64, number: i32) -> bool {
        let Some(Known { path, .. }) = self.known.get(&inode) else { return false };
        let namespace = Namespace::open_same(path, inode);
        namespace.is_ok_and(|namespace| namespace.number().is_ok_and(|now| now == Some(number)))
    }

    /// What becomes readable when numbers come or go.
    pub(super) fn broadcasts(&self) -> Option<BorrowedFd<'_>> {
        self.broadcasts.as_ref().map(borrow)
    }
}

/// Whether a number was taken away, and which, for each of these messages.
fn changes_in(bytes: &[u8]) -> impl Iterator<Item = (bool, i32)> {
    messages(bytes).filter_map(|message| {
        let removed = match message.kind {
            NEW_NSID => false,
            DEL_NSID => true,
            _ => return None,
        };
        let (_, value) =
            attributes(message.payload.get(GENERIC_BYTES..)?).find(|&(kind, _)| kind == NSID)?;
        Some((removed, i32::from_ne_bytes(*value.first_chunk()?)))
    })
}

fn subscribe() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, GROUPS))?;
    Ok(socket)
}

#[expect(unsafe_code, reason = "the netlink crate offers raw descriptors only")]
fn borrow(socket: &Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is the socket's own and stays open as long as the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{push_attribute, request};

    #[test]
    fn numbers_that_come_and_go_are_read() {
        let body = |number: i32| {
            let mut body = vec![0; GENERIC_BYTES];
            push_attribute(&mut body, NSID, &number.to_ne_bytes());
            body
        };
        let mut bytes = request(NEW_NSID, 0, &body(3));
        bytes.extend(request(DEL_NSID, 0, &body(4)));
        bytes.extend(request(16, 0, &body(5)));
        bytes.extend(request(DEL_NSID, 0, &[0; 2]));
        let changes: Vec<_> = changes_in(&bytes).collect();
        assert_eq!(changes, [(false, 3), (true, 4)]);
    }

    #[test]
    fn our_own_namespace_needs_no_number() {
        let mut spaces = Spaces::new();
        let (_, own) = own_namespace();
        assert_eq!(spaces.inode(None), own);
        assert_eq!(spaces.inode(Some(i32::MAX)), None);
        let (all, refused) = spaces.find();
        assert!(refused == 0 && all.iter().any(|space| space.is_own && space.is_new));
        let (all, _) = spaces.find();
        assert!(all.iter().any(|space| space.is_own && !space.is_new));
    }
}
