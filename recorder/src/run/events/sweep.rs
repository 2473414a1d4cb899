//! What is looked at about once a second: the peers of unconnected sockets, and what was lost.

use std::time::{Duration, Instant};

use schema::kind::LossStage;

use super::Loop;
use crate::peers;

/// How long after a list of the open sockets no other one is made for a loss.
const LIST_AGAIN: Duration = Duration::from_secs(3);
/// How long rows may go on to be lost before one is made all the same.
const LIST_ANYWAY: Duration = Duration::from_secs(10);

impl Loop {
    /// Reports the datagrams of a closed socket that no row has reported yet.
    pub(super) fn flush_peers(&mut self, cookie: u64) {
        let mut table = self.probes.peers();
        for key in self.pipeline.peers_of(cookie) {
            if let Ok(Some(record)) = table.get(&key) {
                self.pipeline.on_peer(&key, &record);
            }
            // If it can't be removed now, it will be found idle later.
            if matches!(table.remove(&key), Ok(true)) {
                self.pipeline.forget_peer(&key);
            }
        }
    }

    /// Walks the peer table, and tells what was lost since the last time.
    pub(super) fn sweep(&mut self, last: bool) {
        let now = crate::clock::boot_ns();
        let since = std::mem::replace(&mut self.swept_ns, now);
        let mut idle = vec![];
        let mut table = self.probes.peers();
        // A table that can't be read is read again in a second.
        for (key, record) in table.iter().filter_map(Result::ok) {
            self.pipeline.on_peer(&key, &record);
            if now.saturating_sub(record.boot_ns) > peers::IDLE_NS {
                idle.push(key);
            }
        }
        for key in idle {
            if !last && matches!(table.remove(&key), Ok(true)) {
                self.pipeline.forget_peer(&key);
            }
        }
        if let Ok(drops) = self.probes.drops() {
            let [ring, peers, owners, hooks] = &mut self.seen;
            let (lost, left_out) = (ring.by(drops.ring), hooks.by(drops.hooks));
            if lost + left_out > 0 {
                self.pipeline.distrust_processes();
            }
            self.losses.add(LossStage::Ring, lost);
            self.losses.add(LossStage::Hook, left_out);
            self.losses.add(LossStage::Sockets, peers.by(drops.peers) + owners.by(drops.owners));
        }
        let mut loses = false;
        let totals = self.losses.all();
        for (&stage, (reported, total)) in
            LossStage::ALL.iter().zip(self.reported.iter_mut().zip(totals))
        {
            let lost = reported.by(total);
            if lost > 0 {
                self.pipeline.add_loss(stage, lost, (since, now));
                loses |= !matches!(stage, LossStage::Capture | LossStage::Conntrack);
            }
        }
        // What was opened or closed meanwhile nobody knows, but what is open now can be told; better
        // not while it goes on, since that would lose more.
        self.has_lost |= loses;
        let patience = if loses { LIST_ANYWAY } else { LIST_AGAIN };
        if self.has_lost && !last && self.listed_at.elapsed() >= patience {
            self.pipeline.list_again();
            (self.has_lost, self.listed_at) = (false, Instant::now());
        }
    }
}
