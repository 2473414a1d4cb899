//! The sockets that were there before the hooks: listed once, told unless the hooks told already,
//! and looked up when a listener among them accepts.

use std::collections::HashMap;

use schema::{EventDirection, Kind, kind::LossStage};

use super::Pipeline;
use crate::{
    hold::Wait,
    row::{Body, Local, Owner, Row, SocketRow},
    sockets::{Existing, Query},
};

/// Sockets remembered that were closed while the others are listed, which takes less than a second.
/// One of those beyond stays open in the file.
const MAX_CLOSED_UNLISTED: usize = 65_536;

impl Pipeline {
    /// Asks for the sockets that were there before the hooks. To be called once those are attached:
    /// what is opened from then on they see.
    pub(in crate::run) fn list_existing(&mut self) {
        self.listing = self.ask_for_snapshot();
    }

    /// Asks for every open socket again: the part of the file that begins now must be readable
    /// without those before it, and after a loss nobody knows which were closed.
    pub(in crate::run) fn list_again(&mut self) {
        // One may be halfway through; with another behind it, every socket comes after now.
        if self.listing_again < 2 {
            self.listing_again += u32::from(self.ask_for_snapshot());
        }
    }

    fn ask_for_snapshot(&self) -> bool {
        self.sockets.as_ref().is_some_and(|sockets| sockets.ask(Query::Snapshot))
    }

    /// A socket of the snapshot.
    pub(super) fn on_existing(&mut self, existing: &Existing) {
        let Existing { boot_ns, proto, socket, netns_cookie, owner, accepted } = *existing;
        let known = self.lives.knows(socket.cookie);
        if socket.listens && !known {
            let v6only = socket.v6only.unwrap_or(false);
            self.listeners.insert(netns_cookie, socket.local, v6only, owner);
        }
        // What the hooks have told of already they told better.
        if known && self.listing_again == 0 {
            return;
        }
        let mut row = SocketRow {
            kind: Kind::Socket,
            proto,
            direction: accepted.then_some(EventDirection::In),
            local: Local::Known(socket.local),
            remote: socket.remote,
            v6only: socket.v6only,
            socket_cookie: socket.cookie,
            netns_cookie,
            owner,
            process: None,
            latency_us: None,
            counters: None,
            errno: None,
            count: None,
            peer_cookie: 0,
        };
        if self.lives.describe(&mut row).is_none() {
            row.process = owner.and_then(|owner| self.processes.get(&owner));
            self.lives.insert_existing(&row);
        }
        self.window.push(Row { boot_ns, body: Body::Socket(Box::new(row)) }, None);
        if let Some(row) = self.lives.forward_again(socket.cookie) {
            self.window.push(Row { boot_ns, body: Body::Socket(Box::new(row)) }, None);
        }
        if let Some((closed_ns, closer)) = self.closed_unlisted.remove(&socket.cookie) {
            self.on_older_release(closed_ns.max(boot_ns), socket.cookie, closer);
        }
    }

    /// The last descriptor of a socket older than the hooks was closed.
    pub(super) fn on_older_release(&mut self, boot_ns: u64, cookie: u64, closer: Owner) {
        if self.lives.knows(cookie) {
            let process = self.processes.get(&closer);
            if let Some(row) = self.lives.release_existing(boot_ns, cookie, (closer, process)) {
                self.window.push(row, None);
            }
        } else if self.listing && self.closed_unlisted.len() < MAX_CLOSED_UNLISTED {
            self.closed_unlisted.insert(cookie, (boot_ns, closer));
        }
    }

    /// The snapshot is whole: connections accepted meanwhile get their listeners' owners.
    pub(super) fn on_snapshot(&mut self, left_out: u64) {
        if self.listing {
            self.listing = false;
            self.closed_unlisted = HashMap::new();
        } else {
            self.listing_again = self.listing_again.saturating_sub(1);
        }
        self.losses.add(LossStage::Sockets, left_out);
        let Self { window, listeners, processes, lives, .. } = self;
        window.complete(&Wait::Snapshot, |row| {
            if let (Kind::Forward, Some(forwarder)) = (row.kind, row.owner) {
                let process = row.process.take();
                *row = lives.forward([row.socket_cookie, row.peer_cookie], forwarder);
                row.process = process;
                return true;
            }
            listeners.complete(row);
            row.process = row.owner.and_then(|owner| processes.get(&owner));
            lives.complete(row);
            true
        });
    }
}
