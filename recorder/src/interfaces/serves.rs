//! Which container a network namespace is there for.

use crate::{
    container::{Container, membership},
    procfs::ProcDir,
};

/// The container, or the pod, that a namespace was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serves {
    /// The container; `None` if several share the namespace, as in a pod.
    pub container: Option<Container>,
    /// Kubernetes' id of the pod.
    pub pod_uid: Option<String>,
}

/// A process of a namespace: when it started, and its container.
type Inhabitant = (u64, Option<Container>);

/// Whom a namespace with these processes serves. Reading of other users' processes takes no
/// privilege, unless `/proc` is mounted with `hidepid` (then `CAP_SYS_PTRACE`).
pub(super) fn whom(pids: &[u32]) -> Option<Serves> {
    settle(pids.iter().filter_map(|&pid| {
        let process = ProcDir::open(pid).ok()?;
        let start = process.stat().ok()?.start_ticks;
        Some((start, membership(&process.cgroup()).container))
    }))
}

/// The oldest process is the one the namespace was made for. Younger ones may be guests: a debugger
/// that came in, a container that uses its host's network.
fn settle(inhabitants: impl Iterator<Item = Inhabitant>) -> Option<Serves> {
    let all: Vec<Inhabitant> = inhabitants.collect();
    let (_, oldest) = all.iter().min_by_key(|(start, _)| *start)?;
    let oldest = oldest.as_ref()?;
    let alone = all.iter().filter_map(|(_, of)| of.as_ref()).all(|of| of.id == oldest.id);
    if alone || oldest.pod_uid.is_none() {
        let pod_uid = oldest.pod_uid.clone();
        return Some(Serves { container: Some(oldest.clone()), pod_uid });
    }
    Some(Serves { container: None, pod_uid: oldest.pod_uid.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, pod: Option<&str>) -> Option<Container> {
        Some(Container { id: id.to_owned(), runtime: None, pod_uid: pod.map(str::to_owned) })
    }

    #[test]
    fn a_namespace_is_its_oldest_process_s() {
        let whom = |list: &[(u64, Option<Container>)]| settle(list.iter().cloned());
        assert_eq!(whom(&[]), None);
        let web = Serves { container: container("web", None), pod_uid: None };
        // A guest, of another container or of none, does not change it.
        for guest in [None, container("other", None)] {
            let all = [(9, guest), (5, container("web", None)), (7, container("web", None))];
            assert_eq!(whom(&all), Some(web.clone()));
        }
        // A container that lives in its host's network does not own it.
        assert_eq!(whom(&[(9, container("web", None)), (1, None)]), None);
    }

    #[test]
    fn what_several_containers_of_a_pod_share_is_the_pod_s() {
        let pod = |id| container(id, Some("p"));
        let shared = settle([(1, pod("pause")), (2, pod("app"))].into_iter());
        assert_eq!(shared, Some(Serves { container: None, pod_uid: Some("p".to_owned()) }));
        let single = settle([(1, pod("app"))].into_iter());
        assert_eq!(single.and_then(|of| of.container), pod("app"));
    }
}
