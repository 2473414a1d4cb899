//! The directory of containers: what any thread asks for names. Asking never waits for a runtime.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    cgroup::Container,
    details::{Details, Pod},
    sockets::RuntimeSocket,
    table::{Publication, State, Table},
    worker,
};

/// Containers that may wait to be asked for, at each runtime.
const MAX_QUESTIONS: usize = 256;

/// A directory of this host's containers. Cheap to clone; the thread behind it ends with the last
/// clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    questions: Vec<mpsc::Sender<String>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the runtimes' tasks and those who ask share.
pub(super) struct Shared {
    known: Mutex<Known>,
    /// A runtime's state has changed.
    changed: Condvar,
}

struct Known {
    table: Table,
    runtimes: Vec<Runtime>,
}

/// A socket and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// The socket.
    pub path: PathBuf,
    /// What became of it.
    pub state: RuntimeState,
}

/// What became of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// It has not been heard of yet.
    Connecting,
    /// It told of everything that runs, and of changes since.
    Answers {
        /// `docker`, `containerd`, `cri-o` or `podman`.
        runtime: &'static str,
        /// By its own word.
        version: String,
    },
    /// There is none.
    Absent,
    /// It is of no use, and why.
    Down(String),
}

/// What a row can say of its container and pod.
#[derive(Clone, Debug, Default)]
pub struct Names {
    details: Option<Arc<Details>>,
    /// Whether what `details` say of the pod holds: the path says the same, or nothing.
    of_details: bool,
    pod: Option<Arc<Pod>>,
}

impl Names {
    /// The container, if a runtime knows it.
    #[must_use]
    pub fn container(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The pod, if a runtime knows it.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod> {
        let told = self.container().filter(|_| self.of_details);
        told.and_then(|details| details.pod.as_ref()).or(self.pod.as_deref())
    }
}

/// What is known of a container now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// All there is.
    Known(Arc<Details>),
    /// Nothing yet: a runtime that answers has been asked.
    Pending,
    /// No runtime knows it.
    Unknown,
}

impl Directory {
    /// Starts asking at these sockets. With none there is nothing to be asked, and no thread.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(sockets: Vec<RuntimeSocket>) -> io::Result<Self> {
        let runtimes = sockets
            .iter()
            .map(|socket| Runtime { path: socket.path.clone(), state: RuntimeState::Connecting });
        let known = Known { table: Table::default(), runtimes: runtimes.collect() };
        let shared = Arc::new(Shared { known: Mutex::new(known), changed: Condvar::new() });
        let (senders, receivers): (Vec<_>, Vec<_>) =
            sockets.iter().map(|_| mpsc::channel(MAX_QUESTIONS)).unzip();
        let mut inner = Inner { shared, questions: senders, stop: None, thread: None };
        if !sockets.is_empty() {
            let (stop, stopped) = oneshot::channel();
            let shared = Arc::clone(&inner.shared);
            let thread = thread::Builder::new().name("containers".to_owned());
            inner.thread =
                Some(thread.spawn(move || worker::run(sockets, receivers, &shared, stopped))?);
            inner.stop = Some(stop);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// What is known of container `id`, 64 hexadecimal digits. If it is nothing, it is asked for.
    #[must_use]
    pub fn look_up(&self, id: &str) -> LookUp {
        let now = Instant::now();
        let mut known = self.0.shared.lock();
        match known.table.state(id, now) {
            State::Known(details) => return LookUp::Known(details),
            State::Pending => return LookUp::Pending,
            State::Unknown => return LookUp::Unknown,
            State::Ask => {}
        }
        let mut asked = 0;
        for (place, (runtime, queue)) in known.runtimes.iter().zip(&self.0.questions).enumerate() {
            if runtime.may_answer() && queue.try_send(id.to_owned()).is_ok() {
                asked |= 1 << place;
            }
        }
        known.table.asked(id, asked, now);
        if asked == 0 { LookUp::Unknown } else { LookUp::Pending }
    }

    /// What is known of a container, and of the pod with this id.
    #[must_use]
    pub fn names(&self, container: Option<&Container>, pod_uid: Option<&str>) -> Names {
        let mut known = self.0.shared.lock();
        let details = container.and_then(|container| known.table.get(&container.id));
        let told = details.as_ref().and_then(|details| details.pod.as_ref());
        let of_details = told.is_some_and(|pod| pod_uid.is_none() || pod.uid.as_deref() == pod_uid);
        let pod = if of_details { None } else { pod_uid.and_then(|uid| known.table.pod(uid)) };
        Names { details, of_details, pod }
    }

    /// Ports that were published or withdrawn since the last call, and how many more there was no
    /// room for. At first, those of everything that runs.
    #[must_use]
    pub fn publications(&self) -> (VecDeque<Publication>, u64) {
        self.0.shared.lock().table.take()
    }

    /// Every socket and what became of it, once that is known, but not later than `patience`.
    #[must_use]
    pub fn runtimes(&self, patience: Duration) -> Vec<Runtime> {
        self.settle(patience);
        self.0.shared.lock().runtimes.clone()
    }

    /// Waits until every runtime has told of all that runs, or is of no use, but not for longer
    /// than `patience`.
    fn settle(&self, patience: Duration) {
        let shared = &self.0.shared;
        let connecting = |known: &mut Known| {
            known.runtimes.iter().any(|runtime| runtime.state == RuntimeState::Connecting)
        };
        // A poisoned lock is as good as any: nothing is left half done under it.
        drop(shared.changed.wait_timeout_while(shared.lock(), patience, connecting));
    }

    /// Whether every runtime has told of all that runs, or is of no use.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let known = self.0.shared.lock();
        known.runtimes.iter().all(|runtime| runtime.state != RuntimeState::Connecting)
    }

    /// Whether somebody was asked for a container who may still answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.shared.lock().table.is_waiting()
    }

    /// All containers known, those included that have ended lately. Waits until every runtime has
    /// told of all that runs, or is of no use, but not for longer than `patience`.
    #[must_use]
    pub fn all(&self, patience: Duration) -> Vec<Arc<Details>> {
        self.settle(patience);
        self.0.shared.lock().table.known().cloned().collect()
    }
}

impl Runtime {
    fn may_answer(&self) -> bool {
        matches!(self.state, RuntimeState::Connecting | RuntimeState::Answers { .. })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.lock().table)
    }

    pub(super) fn set_state(&self, place: usize, state: RuntimeState) {
        let mut known = self.lock();
        if !matches!(state, RuntimeState::Answers { .. }) {
            known.table.hung_up(place);
        }
        if let Some(runtime) = known.runtimes.get_mut(place) {
            runtime.state = state;
        }
        self.changed.notify_all();
    }
}
