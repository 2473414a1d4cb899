//! The containers that run here, and the network each of them uses.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _};

use super::Names;
use crate::{
    container::{Container, membership},
    namespaces::{path_of, processes},
    procfs::ProcDir,
};

/// Containers looked at, at most.
const MAX_CONTAINERS: usize = 16_384;

/// A container with a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhabited {
    /// The container.
    pub container: Container,
    /// What its runtime calls it; untrusted text.
    pub name: Option<String>,
    /// Namespace and name of its pod; untrusted text.
    pub pod: Option<(String, String)>,
    /// Inode of the network namespace that its oldest process is in.
    pub netns: u64,
}

/// Every container that has a process. Those of other users show with `CAP_SYS_PTRACE` only.
#[must_use]
pub fn containers(names: &Names) -> Vec<Inhabited> {
    let mut oldest: HashMap<String, (u64, Inhabited)> = HashMap::new();
    for pid in processes() {
        let Ok(process) = ProcDir::open(pid) else { continue };
        let Some(container) = membership(&process.cgroup()).container else { continue };
        let Ok(stat) = process.stat() else { continue };
        let Ok(meta) = fs::metadata(path_of(pid)) else { continue };
        let known = oldest.get(&container.id);
        if known.is_some_and(|(start, _)| *start <= stat.start_ticks)
            || (known.is_none() && oldest.len() >= MAX_CONTAINERS)
        {
            continue;
        }
        let id = container.id.clone();
        let name = names.container(&id).map(str::to_owned);
        let pod = container.pod_uid.as_ref().and_then(|uid| names.pod(uid));
        let pod = pod.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let inhabited = Inhabited { container, name, pod, netns: meta.ino() };
        oldest.insert(id, (stat.start_ticks, inhabited));
    }
    let mut all: Vec<_> = oldest.into_values().map(|(_, inhabited)| inhabited).collect();
    all.sort_by(|a, b| a.container.id.cmp(&b.container.id));
    all
}
