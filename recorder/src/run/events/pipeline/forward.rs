//! Which connection of a forwarder belongs to which: the one it took, and the one it made for it.

use super::Pipeline;
use crate::{
    hold::Wait,
    row::{Body, Owner, Row},
};

impl Pipeline {
    /// A process moved data from one of its sockets to another one.
    pub(super) fn on_forward(&mut self, boot_ns: u64, sockets: [u64; 2], forwarder: Owner) {
        // One that was there before is described by the list of those; then it is clear, too, which
        // of the two was accepted.
        let is_known = sockets.iter().all(|&socket| self.lives.knows(socket));
        let wait = (self.listing && !is_known).then_some(Wait::Snapshot);
        let mut row = self.lives.forward(sockets, forwarder);
        row.process = self.processes.get(&forwarder);
        self.window.push(Row { boot_ns, body: Body::Socket(Box::new(row)) }, wait);
    }
}
