//! Interfaces and published ports: what changes of them, and all that stands when a part begins.

use schema::kind::LossStage;

use super::Pipeline;
use crate::row::{Body, Row};

impl Pipeline {
    /// Writes what a reader of the part that begins here must know from before: the clock and the
    /// interfaces at once, the open sockets and the translations as soon as they have been listed.
    pub(in crate::run) fn begin_part(&mut self) {
        // Not through the window: rows held there belong behind.
        let boot_ns = self.batcher.last_boot_ns();
        let clock = Body::Clock(self.batcher.offset_ns(boot_ns));
        let interfaces = self.standing.interfaces().cloned();
        let interfaces = interfaces.map(|interface| Body::Interface(Box::new(interface)));
        let published = self.standing.published().cloned();
        let published = published.map(|publication| Body::Publish(Box::new(publication)));
        for body in std::iter::once(clock).chain(interfaces).chain(published) {
            self.batcher.push(&Row { boot_ns, body }, &mut self.processes);
        }
        self.list_again();
        self.tell_translations_again();
    }

    /// Reports what changed of interfaces.
    pub(in crate::run) fn take_interfaces(&mut self) {
        let Some(watch) = self.interfaces.take() else { return };
        for interface in watch.changes() {
            if let Some(cookie) = interface.netns_cookie {
                self.batcher.set_namespace(cookie, interface.netns);
            }
            self.standing.note(&interface);
            self.push(Body::Interface(Box::new(interface)));
        }
        self.interfaces = Some(watch);
    }

    /// Reports what changed of published ports.
    pub(in crate::run) fn take_publications(&mut self) {
        let (publications, refused) = self.directory.publications();
        self.losses.add(LossStage::Sockets, refused);
        for publication in publications {
            self.standing.note_published(&publication);
            self.push(Body::Publish(Box::new(publication)));
        }
    }

    /// Sees to it that interfaces and translations as they are now are reported.
    pub(in crate::run) fn look_a_last_time(&self) {
        if let Some(watch) = &self.interfaces {
            watch.look_again();
        }
        self.look_at_translations();
    }
}
