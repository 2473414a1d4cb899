//! Translated connections: told as they are heard of, again in each part, and a last time at the
//! end.

use schema::kind::LossStage;

use super::Pipeline;
use crate::{
    conntrack::Conntrack,
    row::{Body, Row},
};

impl Pipeline {
    /// Reports what connections were translated, and no longer are.
    pub(in crate::run) fn take_translations(&mut self) {
        for told in self.conntrack.iter().flat_map(Conntrack::told) {
            let row = Row { boot_ns: told.boot_ns, body: Body::Translated(Box::new(told)) };
            self.window.push(row, None);
        }
    }

    /// Whether the tables of translations are still being read.
    pub(in crate::run) fn is_reading_translations(&self) -> bool {
        self.conntrack.as_ref().is_some_and(|conntrack| !conntrack.has_told_all())
    }

    /// What they would have told is not waited for any more.
    pub(in crate::run) fn give_up_translations(&self) {
        // How many there were nobody knows: at least one.
        self.losses.add(LossStage::Conntrack, u64::from(self.is_reading_translations()));
    }

    pub(super) fn look_at_translations(&self) {
        if let Some(conntrack) = &self.conntrack {
            conntrack.look_again();
        }
    }

    /// Has those that stand told again, so that the part of the file that begins now can be read
    /// without those before it.
    pub(super) fn tell_translations_again(&self) {
        if let Some(conntrack) = &self.conntrack {
            conntrack.tell_again();
        }
    }
}
