//! What can be said only once all rows are read: until when what was not closed was open.

use schema::kind::LossStage;

use super::{Builder, position};
use crate::events::Recordings;

/// How long after an accept the row that names its reader may come, nanoseconds: a program that hands
/// connections to others does so at once.
const TAKEN_OVER_NS: i64 = 1_000_000_000;

impl Builder {
    /// Everything read, with open lives prolonged to where their host's recording ends, or breaks
    /// off.
    pub(in crate::events) fn finish(self) -> Recordings {
        let mut out = self.out;
        // By far the largest of what is not needed any more.
        drop(self.sockets);
        drop(self.first_conversations);
        drop(self.conversations);
        out.identities = self.identities.into_iter().collect();
        out.places = self.places.finish();
        out.programs.finish(&out.identities, &self.seen);
        for (info, numbers) in out.infos.iter_mut().zip(self.recordings) {
            info.missing_parts = numbers.missing_parts;
            info.missing_rows = numbers.missing_rows.saturating_sub(told_rows(&info.lost));
        }
        let has_losses = out.hosts.iter().any(|host| !host.losses().is_empty());
        for id in out.lives.ids() {
            // Nearly all are closed, and nearly always nothing was lost.
            if !has_losses && out.lives.is_closed(id) {
                continue;
            }
            let mut life = out.lives.get(id);
            if life.closed.is_some() {
                let host = &out.hosts[usize::from(life.host.0)];
                let is_lost = host.lost_between(life.start_ns, life.end_ns);
                if is_lost && life.accepted() && !self.refined[position(id.0)] {
                    life.owner = None;
                    out.lives.set(id, &life);
                }
                continue;
            }
            let (host, last_ns) = (&out.hosts[usize::from(life.host.0)], life.end_ns);
            let until = host.told_until(last_ns).unwrap_or(last_ns);
            // The close may be among what was lost, or in a part that is missing. The recorder tells
            // again afterwards what is still open.
            let loss = host.first_loss(last_ns).filter(|&loss| loss < until);
            life.sure_ns = loss.unwrap_or(until);
            life.end_ns = until;
            // And so may the row that names the process that took it over, which comes soon.
            let is_cut = loss.is_some() || until.saturating_sub(last_ns) < TAKEN_OVER_NS;
            if is_cut && life.accepted() && !self.refined[position(id.0)] {
                life.owner = None;
            }
            out.lives.set(id, &life);
        }
        for listener in &mut out.listeners {
            let life = out.lives.get(listener.life);
            listener.from_ns = listener.from_ns.min(life.start_ns);
            listener.until_ns = listener.until_ns.min(life.end_ns);
        }
        out.handovers.sort_by_key(|handover| (handover.life, handover.time_ns));
        out.lives.shrink();
        out.conversations.shrink();
        out
    }
}

/// Rows that were lost after they had got their number.
fn told_rows(lost: &[(String, u64)]) -> u64 {
    let stages = [LossStage::Channel, LossStage::Disk].map(LossStage::as_str);
    let told = lost.iter().filter(|(stage, _)| stages.contains(&stage.as_str()));
    told.map(|&(_, count)| count).fold(0, u64::saturating_add)
}
