//! Rows that wait for what is learned a little later, and what completes them.

use schema::{FiveTuple, Kind, kind::LossStage};

use super::{MAX_ERRORS, Pipeline};
use crate::{
    hold::{ERROR_WAIT_NS, Wait},
    lives::is_same_peer,
    row::{Local, SocketRow},
    sockets::{Answer, Query},
};

impl Pipeline {
    pub(in crate::run) fn what_it_waits_for(&mut self, row: &mut SocketRow) -> Option<Wait> {
        match row.kind {
            Kind::TcpAccept if row.owner.is_none() && self.listing => Some(Wait::Snapshot),
            Kind::TcpConnectFail if row.errno.is_none() => {
                let tuple = row.tuple()?;
                row.errno = self.take_error(tuple);
                row.errno.is_none().then_some(Wait::Error(tuple))
            }
            Kind::UdpConnect if !row.local.is_whole() => {
                let pid = row.owner.map_or(0, |owner| owner.pid);
                let (socket_cookie, netns_cookie) = (row.socket_cookie, row.netns_cookie);
                let query = Query::Ends { socket_cookie, netns_cookie, pid };
                // With no room for the question the broadcast may still answer it.
                self.sockets.as_ref()?.ask(query);
                Some(Wait::Ends(socket_cookie))
            }
            // Of a closed socket only the broadcast can tell, and it comes by itself.
            Kind::UdpClose if row.remote.is_some() && !row.local.is_whole() => {
                self.sockets.as_ref().map(|_| Wait::Ends(row.socket_cookie))
            }
            _ => None,
        }
    }

    pub(in crate::run) fn on_error(&mut self, boot_ns: u64, tuple: FiveTuple, errno: u32) {
        let told = self.window.complete(&Wait::Error(tuple), |row| {
            row.errno = Some(errno);
            true
        });
        if told > 0 {
            return;
        }
        let old = boot_ns.saturating_sub(ERROR_WAIT_NS);
        while self.errors.len() >= MAX_ERRORS
            || self.errors.front().is_some_and(|&(reported, ..)| reported < old)
        {
            self.errors.pop_front();
        }
        self.errors.push_back((boot_ns, tuple, errno));
    }

    pub(in crate::run) fn take_error(&mut self, tuple: FiveTuple) -> Option<u32> {
        let position = self.errors.iter().rposition(|&(_, of, _)| of == tuple)?;
        self.errors.remove(position).map(|(.., errno)| errno)
    }

    /// Brings it to the rows it is about.
    pub(in crate::run) fn apply(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Namespace { netns_cookie, inode } => {
                    self.batcher.set_namespace(netns_cookie, inode);
                }
                Answer::Ends { socket_cookie, local, remote } => {
                    self.lives.set_ends(socket_cookie, local, remote);
                    self.window.complete(&Wait::Ends(socket_cookie), |row| {
                        let fits = row.remote.is_some_and(|asked| is_same_peer(asked, remote));
                        if fits {
                            row.local = Local::Known(local);
                            row.remote = Some(remote);
                        }
                        fits
                    });
                }
                Answer::Existing(existing) => self.on_existing(&existing),
                Answer::SnapshotTaken { left_out } => self.on_snapshot(left_out),
                // How many there were nobody knows: at least one.
                Answer::Overrun => self.losses.add(LossStage::Sockets, 1),
            }
        }
    }
}
