//! The thread that talks to the runtimes: one task for each socket, which connects, serves
//! questions, and after a failure waits before it tries again.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::sleep,
};

use super::{
    cri,
    details::{Details, Port},
    directory::{RuntimeState, Shared},
    docker,
    http::Failure,
    sockets::{Protocol, RuntimeSocket},
};
use crate::privileges::{self, Work};

/// How long a runtime that failed is left alone at first; every failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// How long at most.
const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// How often it is looked whether there is a socket now.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A runtime that answered for so long before it failed is trusted as at first.
const STEADY: Duration = Duration::from_secs(60);

/// What a task has to do with.
pub(super) struct Link {
    pub(super) path: PathBuf,
    protocol: Option<Protocol>,
    /// Its place among the runtimes.
    place: usize,
    shared: Arc<Shared>,
    questions: mpsc::Receiver<String>,
    /// Whether the runtime answers.
    is_up: bool,
}

/// Talks to the runtimes until the other end of `stop` is dropped.
pub(super) fn run(
    sockets: Vec<RuntimeSocket>,
    questions: Vec<mpsc::Receiver<String>>,
    shared: &Arc<Shared>,
    stop: oneshot::Receiver<()>,
) {
    privileges::enter(Work::Runtimes);
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            for place in 0..sockets.len() {
                shared.set_state(place, RuntimeState::Down(error.to_string()));
            }
            return;
        }
    };
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (place, (socket, questions)) in sockets.into_iter().zip(questions).enumerate() {
            let RuntimeSocket { path, protocol } = socket;
            let shared = Arc::clone(shared);
            let link = Link { path, protocol, place, shared, questions, is_up: false };
            tasks.spawn(link.run());
        }
        // It is never sent anything: only its end counts.
        let _ = stop.await;
    });
}

impl Link {
    async fn run(mut self) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let begun = Instant::now();
            self.is_up = false;
            let failure = self.serve().await;
            self.shared.set_state(
                self.place,
                match &failure {
                    Failure::Absent => RuntimeState::Absent,
                    failure => RuntimeState::Down(failure.to_string()),
                },
            );
            // Nobody waits for an answer any more.
            while self.questions.try_recv().is_ok() {}
            if begun.elapsed() >= STEADY {
                backoff = FIRST_BACKOFF;
            }
            if matches!(failure, Failure::Absent) {
                backoff = FIRST_BACKOFF;
                while !self.path.exists() {
                    sleep(LOOK_EVERY).await;
                }
            } else {
                sleep(backoff).await;
                backoff = (backoff * 2).min(LAST_BACKOFF);
            }
        }
    }

    /// Serves until something fails.
    async fn serve(&mut self) -> Failure {
        let ended = match self.protocol {
            Some(Protocol::Docker) => docker::serve(self).await,
            Some(Protocol::Cri) => cri::serve(self).await,
            None => match docker::serve(self).await {
                // Whoever is there does not speak it.
                Err(Failure::Closed | Failure::Garbage(_)) if !self.is_up => cri::serve(self).await,
                ended => ended,
            },
        };
        ended.err().unwrap_or(Failure::Closed)
    }

    /// The next container somebody asks for.
    pub(super) async fn question(&mut self) -> String {
        match self.questions.recv().await {
            Some(id) => id,
            // Nobody is there to ask any more; the thread is about to end.
            None => std::future::pending().await,
        }
    }

    pub(super) fn answered(&self, id: &str) {
        self.shared.update(|table| table.answered(id, self.place));
    }

    pub(super) fn learn(&self, details: Details) {
        self.shared.update(|table| drop(table.learn(details)));
    }

    pub(super) fn learn_running(&self, details: Details, netns: Option<u64>, ports: Vec<Port>) {
        self.shared.update(|table| {
            let details = table.learn(details);
            table.publish(self.place, netns, &details, ports);
        });
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.shared.update(|table| table.get(id).is_some())
    }

    pub(super) fn knows_image(&self, id: &str) -> bool {
        self.shared.update(|table| table.get(id).is_some_and(|details| details.image.is_some()))
    }

    pub(super) fn ended(&self, id: &str) {
        self.shared.update(|table| table.end(id));
    }

    pub(super) fn runs_only(&self, runs: &HashSet<String>) {
        self.shared.update(|table| table.only(self.place, runs));
    }

    /// Everything that runs was told.
    pub(super) fn is_up(&mut self, runtime: &'static str, version: String) {
        self.is_up = true;
        self.shared.set_state(self.place, RuntimeState::Answers { runtime, version });
    }
}
