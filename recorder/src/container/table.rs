//! What was heard from the runtimes so far, bounded, and what the event loop is to be told of it.
//! Takes the time from outside; does no I/O.

use std::{
    collections::{HashSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::details::{Details, Pod, Port};

/// Containers kept. A host runs some hundreds; the rest are those that ended lately.
const MAX_CONTAINERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Published ports that may wait for the event loop, which takes them ten times a second.
const MAX_WAITING: usize = 16_384;
/// Published ports remembered, of all containers together: people publish ranges, some of 10,000.
const MAX_PORTS: usize = 65_536;
/// How long a container nobody knew is not asked for again: a runtime may know it later.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A published port that is there now, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Whose it is.
    pub container: Arc<Details>,
    /// The port.
    pub port: Port,
    /// Inode of the runtime's network namespace, in which the host's end of it is.
    pub netns: Option<u64>,
    /// Whether it is gone.
    pub removed: bool,
}

#[derive(Default)]
struct Entry {
    details: Option<Arc<Details>>,
    /// When it was last asked for.
    asked: Option<Instant>,
    /// The runtimes that have still to answer, as bits.
    left: u64,
    published: Option<Published>,
}

/// What was told of a container's ports.
struct Published {
    /// The runtime that publishes them.
    runtime: usize,
    /// Inode of that runtime's network namespace.
    netns: Option<u64>,
    ports: Vec<Port>,
}

pub(super) struct Table {
    entries: LruCache<String, Entry>,
    pods: LruCache<String, Arc<Pod>>,
    waiting: VecDeque<Publication>,
    /// Ports remembered.
    ports: usize,
    refused: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: LruCache::new(MAX_CONTAINERS),
            pods: LruCache::new(MAX_CONTAINERS),
            waiting: VecDeque::new(),
            ports: 0,
            refused: 0,
        }
    }
}

/// What the table has to say of a container.
pub(super) enum State {
    Known(Arc<Details>),
    /// Somebody has still to answer.
    Pending,
    /// Nobody knows it.
    Unknown,
    /// It is to be asked for.
    Ask,
}

impl Table {
    pub(super) fn state(&mut self, id: &str, now: Instant) -> State {
        let Some(entry) = self.entries.get(id) else { return State::Ask };
        match (&entry.details, entry.asked) {
            (Some(details), _) => State::Known(Arc::clone(details)),
            (None, Some(_)) if entry.left != 0 => State::Pending,
            (None, Some(asked)) if now.saturating_duration_since(asked) < ASK_AGAIN => {
                State::Unknown
            }
            (None, _) => State::Ask,
        }
    }

    /// These runtimes were asked for the container.
    pub(super) fn asked(&mut self, id: &str, runtimes: u64, now: Instant) {
        let entry = self.entry(id);
        entry.asked = Some(now);
        entry.left = runtimes;
    }

    /// The runtime has answered, whatever it said.
    pub(super) fn answered(&mut self, id: &str, runtime: usize) {
        if let Some(entry) = self.entries.peek_mut(id) {
            entry.left &= !bit(runtime);
        }
    }

    /// The runtime answers nobody any more.
    pub(super) fn hung_up(&mut self, runtime: usize) {
        for (_, entry) in &mut self.entries {
            entry.left &= !bit(runtime);
        }
    }

    /// The container is called so. What was known and is not told now stays: an event tells less
    /// than an inspection.
    pub(super) fn learn(&mut self, mut details: Details) -> Arc<Details> {
        let entry = self.entry(&details.id);
        if let Some(known) = &entry.details {
            details.name = details.name.or_else(|| known.name.clone());
            details.image = details.image.or_else(|| known.image.clone());
            details.runtime = details.runtime.or(known.runtime);
            details.pod = details.pod.or_else(|| known.pod.clone());
        }
        let details = Arc::new(details);
        entry.details = Some(Arc::clone(&details));
        if let Some(pod) = &details.pod
            && let Some(uid) = &pod.uid
        {
            self.pods.put(uid.clone(), Arc::new(pod.clone()));
        }
        details
    }

    /// The container runs, and the runtime publishes these ports, in a namespace with this inode.
    pub(super) fn publish(
        &mut self,
        runtime: usize,
        netns: Option<u64>,
        container: &Arc<Details>,
        mut ports: Vec<Port>,
    ) {
        let before = self.entry(&container.id).published.take();
        let (was_in, had) = before.map_or((None, vec![]), |before| (before.netns, before.ports));
        let room = MAX_PORTS - (self.ports - had.len());
        self.refused += ports.len().saturating_sub(room) as u64;
        ports.truncate(room);
        self.ports = self.ports - had.len() + ports.len();
        let gone = had.iter().filter(|port| !ports.contains(port));
        self.tell(container, was_in, true, gone.copied());
        let new = ports.iter().filter(|port| !had.contains(port));
        self.tell(container, netns, false, new.copied());
        if !ports.is_empty() {
            self.entry(&container.id).published = Some(Published { runtime, netns, ports });
        }
    }

    /// The container has ended.
    pub(super) fn end(&mut self, id: &str) {
        let Some(entry) = self.entries.peek_mut(id) else { return };
        let Some(published) = entry.published.take() else { return };
        self.ports -= published.ports.len();
        let Some(container) = entry.details.clone() else { return };
        self.tell(&container, published.netns, true, published.ports.into_iter());
    }

    /// The runtime runs these containers and no others.
    pub(super) fn only(&mut self, runtime: usize, runs: &HashSet<String>) {
        let ended: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.published.as_ref().is_some_and(|of| of.runtime == runtime))
            .filter(|(id, _)| !runs.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.end(&id);
        }
    }

    fn tell(
        &mut self,
        container: &Arc<Details>,
        netns: Option<u64>,
        removed: bool,
        ports: impl Iterator<Item = Port>,
    ) {
        for port in ports {
            if self.waiting.len() < MAX_WAITING {
                let container = Arc::clone(container);
                self.waiting.push_back(Publication { container, port, netns, removed });
            } else {
                self.refused += 1;
            }
        }
    }

    /// What is to be told, and how much there was no room for.
    pub(super) fn take(&mut self) -> (VecDeque<Publication>, u64) {
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.refused))
    }

    pub(super) fn get(&mut self, id: &str) -> Option<Arc<Details>> {
        self.entries.get(id)?.details.clone()
    }

    /// Whether an answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.details.is_none() && entry.left != 0)
    }

    pub(super) fn pod(&mut self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.get(uid).cloned()
    }

    /// Everything known.
    pub(super) fn known(&self) -> impl Iterator<Item = &Arc<Details>> {
        self.entries.iter().filter_map(|(_, entry)| entry.details.as_ref())
    }

    fn entry(&mut self, id: &str) -> &mut Entry {
        if self.entries.len() == MAX_CONTAINERS.get() && !self.entries.contains(id) {
            let forgotten = self.entries.pop_lru();
            let published = forgotten.and_then(|(_, entry)| entry.published);
            self.ports -= published.map_or(0, |published| published.ports.len());
        }
        self.entries.get_or_insert_mut_ref(id, Entry::default)
    }
}

fn bit(runtime: usize) -> u64 {
    1 << (runtime % 64)
}

#[cfg(test)]
mod tests {
    use schema::{Endpoint, Proto};

    use super::*;

    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn port(number: u16) -> Port {
        Port {
            proto: Proto::TCP,
            host: Endpoint::new([0, 0, 0, 0].into(), number),
            container_addr: None,
            container_port: 80,
        }
    }

    fn web() -> Details {
        let name = Some("web".to_owned());
        Details { id: ID.to_owned(), name, ..Details::default() }
    }

    fn told(table: &mut Table) -> Vec<(u16, bool)> {
        table.take().0.iter().map(|row| (row.port.host.port(), row.removed)).collect()
    }

    #[test]
    fn a_container_is_pending_until_everybody_has_answered() {
        let (mut table, now) = (Table::default(), Instant::now());
        assert!(matches!(table.state(ID, now), State::Ask));
        table.asked(ID, 0b101, now);
        table.answered(ID, 0);
        assert!(matches!(table.state(ID, now), State::Pending));
        table.hung_up(2);
        assert!(matches!(table.state(ID, now), State::Unknown));
        assert!(matches!(table.state(ID, now + ASK_AGAIN), State::Ask));
        table.learn(web());
        assert!(matches!(table.state(ID, now), State::Known(_)));
    }

    #[test]
    fn what_an_event_does_not_tell_stays() {
        let mut table = Table::default();
        let image = Some("nginx:1".to_owned());
        table.learn(Details { image: image.clone(), ..web() });
        let now = table.learn(Details { id: ID.to_owned(), ..Details::default() });
        assert_eq!((now.name.as_deref(), &now.image), (Some("web"), &image));
    }

    #[test]
    fn a_port_is_told_when_it_comes_and_when_it_goes() {
        let mut table = Table::default();
        let details = table.learn(web());
        let publish = |table: &mut Table, ports: &[u16]| {
            table.publish(0, None, &details, ports.iter().copied().map(port).collect());
        };
        publish(&mut table, &[1, 2]);
        publish(&mut table, &[1, 2]);
        assert_eq!(told(&mut table), [(1, false), (2, false)]);
        publish(&mut table, &[2, 3]);
        assert_eq!(told(&mut table), [(1, true), (3, false)]);
        table.only(1, &HashSet::new());
        table.only(0, &HashSet::from([ID.to_owned()]));
        assert_eq!(told(&mut table), []);
        table.only(0, &HashSet::new());
        table.end(ID);
        assert_eq!(told(&mut table), [(2, true), (3, true)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut table = Table::default();
        let mut refused = 0;
        for number in 0..5000 {
            let id = format!("{number:064x}");
            table.asked(&id, 1, Instant::now());
            let details = table.learn(Details { id, ..web() });
            table.publish(0, None, &details, (1..=20).map(port).collect());
            let remembered = table.ports;
            refused += table.take().1;
            assert!(remembered <= MAX_PORTS);
        }
        assert!(refused > 0);
        assert_eq!(table.known().count(), MAX_CONTAINERS.get());
        let details = table.learn(web());
        table.publish(0, None, &details, (0..MAX_WAITING as u16 + 9).map(port).collect());
        let (waiting, _) = table.take();
        assert!(waiting.len() <= MAX_WAITING);
    }
}
