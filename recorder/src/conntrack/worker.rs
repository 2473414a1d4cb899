//! The thread that listens, and that looks through the tables of all namespaces: at the start, when
//! the kernel lost something, when it is asked to, and, of a new namespace, once.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
    thread,
    time::{Duration, Instant},
};

use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schema::kind::LossStage;

use super::{
    Shared, Told,
    events::{Events, Read, count_entries},
    is_loaded, is_silent,
    message::{Entry, Translation, dump_request, parse_entry},
    spaces::{Space, Spaces},
    standing::Standing,
};
use crate::{
    clock::{Sample, boot_ns},
    loss::Losses,
    namespaces::Namespace,
    netlink::{ask, messages},
    privileges::{self, Work},
};

/// Niceness of this thread, like that of the one that asks about sockets: where the kernel does not
/// tell when something happened, it happened when it was read.
const PRIORITY: i32 = -10;
/// How long what comes next is left to gather, so that not every connection has to wake the thread.
/// A fifth of what the joiner takes the time of a translation to be late by.
const NAP: Duration = Duration::from_millis(4);
/// How often it is looked whether the kernel has begun to track.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a new namespace is left to be set up before its table is read.
const SETTLE: Duration = Duration::from_millis(100);
/// A look at new namespaces is followed by so many times its own duration without one, so that a
/// host on which they come and go all the time pays 2 % of a CPU at most.
const REST: u32 = 50;
/// The same after a look at every table because something was lost: while that is so, 20 %.
const REST_LOST: u32 = 4;
/// Events that may wait for their namespace to be found.
const MAX_UNPLACED: usize = 4096;
/// Nanoseconds by which a time the kernel tells can be before we heard of it. Rows are in order of
/// time by and large; an entry that is older tells when it was seen.
const MAX_AGE_NS: u64 = 5_000_000_000;

pub(super) struct Worker {
    events: Events,
    told: SyncSender<Told>,
    losses: Arc<Losses>,
    shared: Arc<Shared>,
    spaces: Spaces,
    standing: Standing,
    /// Events of namespaces that have not been found yet, by number.
    unplaced: Vec<(i32, u64, Entry)>,
    /// When new namespaces are looked for, if there are some.
    look_at: Option<Instant>,
    /// When all tables are looked at again, if something was lost.
    recover_at: Option<Instant>,
    rested_at: Instant,
}

/// The other end no longer listens: time to go.
struct Gone;

/// Which tables are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Those of new namespaces.
    New,
    /// All.
    All,
    /// All, and what was told is told again.
    Again,
}

impl Worker {
    pub(super) fn new(
        events: Events,
        told: SyncSender<Told>,
        losses: Arc<Losses>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            events,
            told,
            losses,
            shared,
            spaces: Spaces::new(),
            standing: Standing::default(),
            unplaced: vec![],
            look_at: None,
            recover_at: None,
            rested_at: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        // Of this thread alone; the kernel waits for nobody.
        let _ = rustix::process::setpriority_process(None, PRIORITY);
        privileges::enter(Work::Namespaces);
        // Ends early when the other side is gone; nothing is left to be done then.
        let _ = self.serve();
    }

    fn serve(&mut self) -> Result<(), Gone> {
        while !self.shared.stop.load(Ordering::Acquire) {
            let asked = self.shared.asked.load(Ordering::Acquire);
            let again = self.shared.again.swap(false, Ordering::AcqRel);
            if !self.events.is_subscribed() && is_loaded() {
                // What can't be heard now can't be heard in ten seconds: it is asked again then.
                let _ = self.events.subscribe();
            }
            if self.events.is_subscribed() {
                self.take_numbers()?;
                self.take_events()?;
                let now = Instant::now();
                let rested_at = self.rested_at;
                let is_due = |at: Option<Instant>| at.is_some_and(|at| at.max(rested_at) <= now);
                if again {
                    self.look(Look::Again)?;
                } else if self.shared.told.load(Ordering::Acquire) <= asked
                    || is_due(self.recover_at)
                {
                    self.look(Look::All)?;
                } else if is_due(self.look_at) {
                    self.look(Look::New)?;
                }
            }
            self.shared.told.store(asked + 1, Ordering::Release);
            self.wait();
        }
        Ok(())
    }

    /// Waits until there is something to be done.
    fn wait(&self) {
        let idle = (!self.events.is_subscribed()).then(|| Instant::now() + LOOK_EVERY);
        let looks = [self.look_at, self.recover_at].map(|at| Some(at?.max(self.rested_at)));
        let until = looks.into_iter().chain([idle]).flatten().min();
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let readable = |source| PollFd::from_borrowed_fd(source, PollFlags::IN);
        // Before there is anything to hear these are not read, and so always there to be read.
        let numbers = self.spaces.broadcasts().filter(|_| self.events.is_subscribed());
        let sources: [Option<BorrowedFd<'_>>; 3] =
            [Some(self.shared.wake.as_fd()), Some(self.events.as_fd()), numbers];
        let mut sources: Vec<_> = sources.into_iter().flatten().map(readable).collect();
        // An interrupted wait is a short one.
        let _ = poll(&mut sources, timeout.as_ref());
        let woken = rustix::io::read(&self.shared.wake, &mut [0; 8]).is_ok();
        if !woken {
            thread::sleep(NAP);
        }
    }

    fn tell(&self, told: Told) -> Result<(), Gone> {
        self.told.send(told).map_err(|_| Gone)
    }

    /// A row about a connection in the namespace with this inode; 0 is one that was not found.
    fn row(&self, inode: u64, boot_ns: u64, ended: bool, translation: Translation) -> Told {
        Told {
            boot_ns,
            ended,
            translation,
            netns: (inode != 0).then_some(inode),
            netns_cookie: self.spaces.cookie(inode),
        }
    }

    fn tell_ended(
        &self,
        inode: u64,
        netns_cookie: Option<u64>,
        translations: Vec<Translation>,
    ) -> Result<(), Gone> {
        let (boot_ns, ended, netns) = (boot_ns(), true, Some(inode));
        for translation in translations {
            self.tell(Told { boot_ns, ended, translation, netns, netns_cookie })?;
        }
        Ok(())
    }

    fn take_numbers(&mut self) -> Result<(), Gone> {
        let numbers = self.spaces.take_numbers();
        for (inode, netns_cookie) in numbers.gone {
            let gone = self.standing.forget(inode);
            self.tell_ended(inode, netns_cookie, gone)?;
        }
        if numbers.new {
            self.look_soon();
        }
        if numbers.lost {
            self.spaces.forget_all();
            self.recover_at = Some(Instant::now());
        }
        Ok(())
    }

    fn look_soon(&mut self) {
        self.look_at.get_or_insert(Instant::now() + SETTLE);
    }

    fn take_events(&mut self) -> Result<(), Gone> {
        loop {
            let found: Vec<Entry>;
            let number;
            match self.events.read() {
                Read::Messages(of, bytes) => {
                    number = of;
                    found = messages(bytes).filter_map(parse_entry).collect();
                }
                Read::Overrun => {
                    // How many there were nobody knows: at least one.
                    self.losses.add(LossStage::Conntrack, 1);
                    self.recover_at.get_or_insert(Instant::now());
                    continue;
                }
                Read::Nothing => return Ok(()),
            }
            for entry in found.into_iter().filter(Entry::translates) {
                let boot_ns = time_of(entry.told_at, Sample::now());
                match (self.spaces.inode(number), number) {
                    (Some(inode), _) => self.on_entry(inode, boot_ns, &entry)?,
                    (None, Some(number)) if self.unplaced.len() < MAX_UNPLACED => {
                        self.unplaced.push((number, boot_ns, entry));
                        self.look_soon();
                    }
                    (None, _) => self.on_entry(0, boot_ns, &entry)?,
                }
            }
        }
    }

    fn on_entry(&mut self, inode: u64, boot_ns: u64, entry: &Entry) -> Result<(), Gone> {
        let Entry { ended, translation, .. } = *entry;
        let is_news = if ended {
            self.standing.end(inode, &translation)
        } else {
            self.standing.add(inode, &translation)
        };
        if is_news { self.tell(self.row(inode, boot_ns, ended, translation)) } else { Ok(()) }
    }

    fn look(&mut self, look: Look) -> Result<(), Gone> {
        let begun = Instant::now();
        // Before anything is looked at: what is lost or new meanwhile asks for another look.
        self.look_at = None;
        if look != Look::New {
            self.recover_at = None;
        }
        let (spaces, refused) = self.spaces.find();
        self.losses.add(LossStage::Conntrack, refused);
        for (number, boot_ns, entry) in std::mem::take(&mut self.unplaced) {
            // What is not found by now is kept by something that shows nowhere.
            let inode = self.spaces.inode(Some(number)).unwrap_or(0);
            self.on_entry(inode, boot_ns, &entry)?;
        }
        for space in spaces.iter().filter(|space| look != Look::New || space.is_new) {
            self.read_table(space, look)?;
            // A long look must not keep what comes meanwhile waiting for too long.
            self.take_events()?;
        }
        if look != Look::New {
            for inode in self.standing.spaces() {
                if inode != 0 && !self.spaces.knows(inode) {
                    let gone = self.standing.forget(inode);
                    self.tell_ended(inode, None, gone)?;
                }
            }
        }
        // Reading the tables made the kernel clean them up, and it tells of that.
        self.take_events()?;
        let rest = if look == Look::New { REST } else { REST_LOST };
        self.rested_at = Instant::now() + begun.elapsed() * rest;
        Ok(())
    }

    /// Reads the table of a namespace. What it shows and was not told yet is told now; what was
    /// told and it does not show has ended.
    fn read_table(&mut self, space: &Space, look: Look) -> Result<(), Gone> {
        let inode = space.found.inode;
        self.standing.begin_dump();
        let netns_cookie = self.spaces.cookie(inode);
        let Self { standing, told, .. } = self;
        let mut gone = false;
        let mut see = |entry: Entry| {
            let is_news = standing.add(inode, &entry.translation);
            if (is_news || look == Look::Again) && !gone {
                let boot_ns =
                    if is_news { time_of(entry.began_at, Sample::now()) } else { boot_ns() };
                let Entry { translation, .. } = entry;
                let netns = Some(inode);
                let row = Told { boot_ns, ended: false, translation, netns, netns_cookie };
                gone |= told.send(row).is_err();
            }
        };
        let losses = &self.losses;
        let mut dump = || {
            if count_entries()? == 0 {
                return Ok(());
            }
            // What begins and ends between two looks nobody will know of.
            losses.add(LossStage::Conntrack, u64::from(is_silent()));
            ask(NETLINK_NETFILTER, &dump_request(), |message| {
                parse_entry(message).filter(Entry::translates).into_iter().for_each(&mut see);
            })
        };
        let dumped = if space.is_own {
            dump()
        } else {
            match Namespace::open_same(&space.found.path, inode)
                .and_then(|namespace| namespace.run(dump))
            {
                Ok(dumped) => dumped,
                // It is gone, and its number too, soon.
                Err(_) => return Ok(()),
            }
        };
        if gone {
            return Err(Gone);
        }
        match dumped {
            Ok(()) => {
                let ended = self.standing.end_dump(inode);
                self.tell_ended(inode, netns_cookie, ended)
            }
            Err(_) => {
                self.losses.add(LossStage::Conntrack, 1);
                Ok(())
            }
        }
    }
}

/// When it was by `CLOCK_BOOTTIME` when the wall clock showed this; `now` if that is not known, not
/// yet, or too long ago.
fn time_of(wall_ns: Option<u64>, now: Sample) -> u64 {
    let told = wall_ns.and_then(|wall_ns| {
        let boot_ns = i64::try_from(wall_ns).ok()?.checked_sub(now.offset_ns)?;
        u64::try_from(boot_ns).ok()
    });
    let recent = now.boot_ns.saturating_sub(MAX_AGE_NS)..=now.boot_ns;
    told.filter(|boot_ns| recent.contains(boot_ns)).unwrap_or(now.boot_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_kernel_counts_unless_it_is_odd() {
        let now = Sample { boot_ns: 100_000_000_000, offset_ns: 1_000_000_000_000 };
        let wall = |boot_s: u64| Some((1000 + boot_s) * 1_000_000_000);
        assert_eq!(time_of(wall(98), now), 98_000_000_000);
        for odd in [None, wall(101), wall(94), Some(5), Some(u64::MAX)] {
            assert_eq!(time_of(odd, now), now.boot_ns, "{odd:?}");
        }
    }
}
