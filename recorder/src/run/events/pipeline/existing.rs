//! The sockets that were there before the hooks: listed once, told unless the hooks told already,
//! and looked up when a listener among them accepts.

use schema::{EventDirection, Kind, kind::LossStage};

use super::Pipeline;
use crate::{
    hold::Wait,
    row::{Body, Local, Row, SocketRow},
    sockets::{Existing, Query},
};

impl Pipeline {
    /// Asks for the sockets that were there before the hooks. To be called once those are attached:
    /// what is opened from then on they see.
    pub(in crate::run) fn list_existing(&mut self) {
        self.listing = self.sockets.as_ref().is_some_and(|sockets| sockets.ask(Query::Snapshot));
    }

    /// A socket of the snapshot.
    pub(super) fn on_existing(&mut self, existing: &Existing) {
        let Existing { boot_ns, proto, socket, netns_cookie, owner, accepted } = *existing;
        if socket.listens {
            let v6only = socket.v6only.unwrap_or(false);
            self.listeners.insert(netns_cookie, socket.local, v6only, owner);
        }
        // The hooks have told of it already, and better.
        if self.lives.knows(socket.cookie) {
            return;
        }
        let row = SocketRow {
            kind: Kind::Socket,
            proto,
            direction: accepted.then_some(EventDirection::In),
            local: Local::Known(socket.local),
            remote: socket.remote,
            v6only: socket.v6only,
            socket_cookie: socket.cookie,
            netns_cookie,
            owner,
            process: owner.and_then(|owner| self.processes.get(&owner)),
            latency_us: None,
            counters: None,
            errno: None,
            count: None,
        };
        self.lives.insert_existing(&row, accepted);
        self.window.push(Row { boot_ns, body: Body::Socket(Box::new(row)) }, None);
    }

    /// The snapshot is whole: connections accepted meanwhile get their listeners' owners.
    pub(super) fn on_snapshot(&mut self, left_out: u64) {
        self.listing = false;
        self.losses.add(LossStage::Sockets, left_out);
        let Self { window, listeners, processes, lives, .. } = self;
        window.complete(&Wait::Snapshot, |row| {
            listeners.complete(row);
            row.process = row.owner.and_then(|owner| processes.get(&owner));
            lives.complete(row);
            true
        });
    }
}
