//! The columns that say which process, in which container.

use std::borrow::Cow;

use schema::Event;

use super::known_id;
use crate::{
    container::{Details, Membership, Names, Pod},
    interfaces::Serves,
    process::Process,
    row::Owner,
};

/// A process, and what is looked up of it when its row is written.
pub(super) struct Who<'a> {
    pub(super) owner: &'a Owner,
    /// The name of the thread, as the hook saw it.
    pub(super) hook_name: Cow<'a, str>,
    pub(super) process: Option<&'a Process>,
    pub(super) user: Option<&'a str>,
    /// Nanoseconds since 1970.
    pub(super) start: Option<i64>,
    pub(super) membership: Option<&'a Membership>,
    /// What runtimes say of its container.
    pub(super) names: Option<&'a Names>,
}

impl<'a> Who<'a> {
    /// Fills in the columns.
    pub(super) fn describe(&'a self, event: &mut Event<'a>) {
        let Self { owner, hook_name, .. } = self;
        event.pid = Some(owner.pid);
        event.tid = Some(owner.tid);
        event.uid = Some(owner.uid);
        event.gid = Some(owner.gid);
        event.user = self.user;
        event.cgroup_id = known_id(owner.cgroup_id);
        let hook_name = Some(&**hook_name).filter(|name| !name.is_empty());
        // The main thread's name is the process's, and the hook saw it at the very moment.
        let own_name = hook_name.filter(|_| owner.tid == owner.pid);
        event.comm = own_name.or(self.process.and_then(|process| process.program.comm()));
        event.thread = hook_name.filter(|_| hook_name != event.comm);
        if let Some(process) = self.process {
            let parent = process.parent.as_deref();
            event.exe = process.program.exe();
            event.cmdline = process.program.cmdline();
            event.start_ts = self.start;
            event.ppid = (process.ppid != 0).then_some(process.ppid);
            event.parent_uid = parent.map(|parent| parent.uid);
            event.parent_gid = parent.map(|parent| parent.gid);
            event.parent_comm = parent.and_then(|parent| parent.program.comm());
            event.parent_exe = parent.and_then(|parent| parent.program.exe());
        }
        if let Some(membership) = self.membership {
            let container = membership.container.as_ref();
            event.cgroup_path = membership.path.as_deref();
            event.container_id = container.map(|container| container.id.as_str());
            event.container_runtime = container.and_then(|container| container.runtime);
            event.pod_uid = container.and_then(|container| container.pod_uid.as_deref());
        }
        if let Some(names) = self.names {
            describe_container(names.container(), names.pod(), event);
        }
    }
}

/// Fills in whom an interface serves.
pub(super) fn describe_served<'a>(serves: &'a Serves, names: &'a Names, event: &mut Event<'a>) {
    let container = serves.container.as_ref();
    event.container_id = container.map(|container| container.id.as_str());
    event.container_runtime = container.and_then(|container| container.runtime);
    event.pod_uid = serves.pod_uid.as_deref();
    describe_container(names.container(), names.pod(), event);
}

/// Fills in what runtimes say; what the path says of the runtime and the pod's id is better known.
pub(super) fn describe_container<'a>(
    container: Option<&'a Details>,
    pod: Option<&'a Pod>,
    event: &mut Event<'a>,
) {
    if let Some(container) = container {
        event.container_name = container.name.as_deref();
        event.container_image = container.image.as_deref();
        event.container_runtime = event.container_runtime.or(container.runtime);
    }
    if let Some(pod) = pod {
        event.pod_name = pod.name.as_deref();
        event.pod_namespace = pod.namespace.as_deref();
        event.pod_uid = event.pod_uid.or(pod.uid.as_deref());
    }
}
