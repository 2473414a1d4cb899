//! From `/proc/PID/cgroup` (cgroups(7)) to a container: every runtime writes the container's id
//! into the path, each in its own way.
//!
//! ```text
//! 0::/system.slice/docker-ID.scope                                     Docker, systemd driver
//! 0::/docker/ID                                                        Docker, cgroupfs driver
//! 0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID.slice/cri-containerd-ID.scope
//! 0::/kubepods/burstable/podUID/ID                                     cgroupfs driver
//! 0::/machine.slice/libpod-ID.scope/container                          podman
//! 0::/user.slice/…/libpod-ID.scope                                     podman, rootless
//! 0::/kubepods.slice/…/crio-ID.scope                                   CRI-O
//! 0::/system.slice/containerd.service/kubepods-…-podUID.slice:cri-containerd:ID
//! 0::/NAMESPACE/ID                                                     containerd
//! ```

/// A container, by what the path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The runtime's id of it: 64 hexadecimal digits.
    pub id: String,
    /// `docker`, `containerd`, `cri-o`, `podman`, where the path names it.
    pub runtime: Option<&'static str>,
    /// Kubernetes' id of the pod, with hyphens.
    pub pod_uid: Option<String>,
}

/// What a process's `cgroup` file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Path in the version 2 hierarchy; where that says nothing (`/`, on hybrid hosts), the path
    /// in which the container was found.
    pub path: Option<String>,
    /// The container, if any path names one.
    pub container: Option<Container>,
    /// Whether path and container come from the version 2 hierarchy, and so are the same for every
    /// process with the same cgroup id.
    pub by_id: bool,
}

/// Reads the text of `/proc/PID/cgroup`.
#[must_use]
pub fn membership(text: &[u8]) -> Membership {
    let text = String::from_utf8_lossy(text);
    let mut unified = None;
    let mut other = None;
    for line in text.lines() {
        // hierarchy:controllers:path; the path may hold colons.
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if hierarchy == "0" && controllers.is_empty() {
            unified = Some((path, find_container(path)));
        } else if other.is_none() {
            other = find_container(path).map(|container| (path, container));
        }
    }
    match (unified, other) {
        (Some((path, Some(container))), _) => {
            Membership { path: Some(path.to_owned()), container: Some(container), by_id: true }
        }
        (unified, Some((path, container))) => {
            let own = unified.map(|(path, _)| path).filter(|&path| path != "/");
            let path = Some(own.unwrap_or(path).to_owned());
            Membership { path, container: Some(container), by_id: false }
        }
        (Some((path, None)), None) => {
            // On a hybrid host `/` may stand for processes of every kind.
            Membership { path: Some(path.to_owned()), container: None, by_id: path != "/" }
        }
        (None, None) => Membership::default(),
    }
}

/// The innermost container of a path.
fn find_container(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').collect();
    let (position, id, marker) = parts.iter().enumerate().rev().find_map(|(position, part)| {
        let (id, marker) = container_id(part)?;
        Some((position, id, marker))
    })?;
    let above = &parts[..position];
    let pod_uid =
        pod_uid(parts[position]).or_else(|| above.iter().rev().find_map(|part| pod_uid(part)));
    let runtime = runtime(marker).or_else(|| match above.last() {
        Some(&"docker") => Some("docker"),
        Some(&("libpod" | "libpod_parent")) => Some("podman"),
        _ => None,
    });
    Some(Container { id: id.to_owned(), runtime, pod_uid })
}

/// The id a part of a path ends with, and what stands before it.
fn container_id(part: &str) -> Option<(&str, &str)> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let start = part.len().checked_sub(64)?;
    let (marker, id) = part.split_at_checked(start)?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let separated = marker.is_empty() || marker.ends_with(['-', ':']);
    // podman's monitor lives beside the container, not in it.
    let is_monitor = marker.ends_with("conmon-");
    (id.bytes().all(hex) && separated && !is_monitor).then_some((id, marker))
}

fn runtime(marker: &str) -> Option<&'static str> {
    let name = marker.trim_end_matches(['-', ':']);
    let name = name.rsplit(':').next().unwrap_or(name);
    Some(match name {
        "docker" => "docker",
        "cri-containerd" | "containerd" | "nerdctl" => "containerd",
        "crio" => "cri-o",
        "libpod" => "podman",
        _ => return None,
    })
}

/// `kubepods-burstable-pod1a2b3c4d_….slice` or `pod1a2b3c4d-…`: the id, with hyphens.
fn pod_uid(part: &str) -> Option<String> {
    let part = part.split(':').next().unwrap_or(part);
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let start = part.rfind("pod").filter(|&at| at == 0 || part.as_bytes()[at - 1] == b'-')?;
    let uid = part[start + 3..].replace('_', "-");
    let shape = [8, 4, 4, 4, 12];
    let mut groups = uid.split('-');
    let fits = shape.iter().all(|&length| {
        groups.next().is_some_and(|group| {
            group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }) && groups.next().is_none();
    // A static pod's id is a hash without hyphens.
    let is_hash = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
    (fits || is_hash).then_some(uid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const OUTER: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const POD: &str = "5f2b8c1e-0a4d-4c3e-9b7f-1d2e3f4a5b6c";

    #[test]
    fn every_shape_of_path() {
        let pod_ = POD.replace('-', "_");
        let static_pod = "0123456789abcdef0123456789abcdef";
        let table = [
            (format!("/system.slice/docker-{ID}.scope"), Some("docker"), None),
            (format!("/docker/{ID}"), Some("docker"), None),
            (format!("/docker/{ID}/init.scope"), Some("docker"), None),
            (format!("/system.slice/docker-{OUTER}.scope/docker/{ID}"), Some("docker"), None),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{pod_}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                Some(POD),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope"),
                Some("cri-o"),
                Some(POD),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{pod_}.slice/crio-{ID}.scope/container"),
                Some("cri-o"),
                Some(POD),
            ),
            (format!("/kubepods/burstable/pod{POD}/{ID}"), None, Some(POD)),
            (format!("/kubepods/pod{static_pod}/{ID}"), None, Some(static_pod)),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{pod_}.slice:cri-containerd:{ID}"
                ),
                Some("containerd"),
                Some(POD),
            ),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some("podman"), None),
            (format!("/machine.slice/libpod-{ID}.scope"), Some("podman"), None),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
                ),
                Some("podman"),
                None,
            ),
            (format!("/libpod_parent/libpod-{ID}"), Some("podman"), None),
            (format!("/default/{ID}"), None, None),
            (format!("/system.slice/nerdctl-{ID}.scope"), Some("containerd"), None),
            (format!("/actions_job/{ID}"), None, None),
            // Where the reader is in a cgroup namespace of its own.
            (format!("/../../docker/{ID}"), Some("docker"), None),
        ];
        for (path, runtime, pod_uid) in table {
            let member = membership(format!("0::{path}\n").as_bytes());
            let container = member.container.unwrap_or_else(|| panic!("no container in {path}"));
            assert_eq!(container.id, ID, "{path}");
            assert_eq!(container.runtime, runtime, "{path}");
            assert_eq!(container.pod_uid.as_deref(), pod_uid, "{path}");
            assert!(member.by_id);
            assert_eq!(member.path.as_deref(), Some(path.as_str()));
        }
    }

    #[test]
    fn what_is_no_container_gets_none() {
        for path in [
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/docker.service",
            "/docker",
            "/docker/9f86d081884c",
            &format!("/docker/{}", ID.to_uppercase()),
            &format!("/x{ID}"),
            &format!("/docker/{ID}0"),
            &format!("/machine.slice/libpod-conmon-{ID}.scope"),
            &format!("/kubepods/besteffort/pod{POD}"),
            "",
        ] {
            let member = membership(format!("0::{path}\n").as_bytes());
            assert_eq!(member.container, None, "{path}");
        }
    }

    #[test]
    fn a_hybrid_host_has_the_container_in_another_hierarchy() {
        let text = format!("3:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n");
        let member = membership(text.as_bytes());
        assert_eq!(member.container.map(|container| container.id).as_deref(), Some(ID));
        assert_eq!(member.path, Some(format!("/docker/{ID}")));
        assert!(!member.by_id, "every other container has the same cgroup id");
        let host = membership(b"1:name=systemd:/\n0::/system.slice/ssh.service\n");
        assert_eq!(host.path.as_deref(), Some("/system.slice/ssh.service"));
        assert!(host.by_id && host.container.is_none());
        assert!(!membership(b"0::/\n").by_id);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = membership(text.as_bytes());
            let _ = membership(format!("0::/{text}{ID}").as_bytes());
            let _ = membership(&bytes);
        }
    }
}
