//! Where container runtimes listen.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// What is spoken at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Docker's Engine API, which podman speaks too.
    Docker,
    /// Kubernetes' container runtime interface.
    Cri,
}

/// A socket at which a runtime may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSocket {
    /// Where it is.
    pub path: PathBuf,
    /// What is spoken there; `None` to try.
    pub(super) protocol: Option<Protocol>,
}

/// Where the runtimes listen if nobody says otherwise.
const USUAL: [(&str, Protocol); 8] = [
    ("/run/docker.sock", Protocol::Docker),
    ("/var/run/docker.sock", Protocol::Docker),
    ("/run/podman/podman.sock", Protocol::Docker),
    ("/run/containerd/containerd.sock", Protocol::Cri),
    ("/run/crio/crio.sock", Protocol::Cri),
    ("/run/k3s/containerd/containerd.sock", Protocol::Cri),
    ("/run/k0s/containerd.sock", Protocol::Cri),
    ("/run/cri-dockerd.sock", Protocol::Cri),
];

/// Sockets asked at most.
const MAX_SOCKETS: usize = 32;

/// The sockets to ask: the given ones, that of `docker_host` (the variable `DOCKER_HOST`), and the
/// usual ones. Those outside `given` may not be there. One socket under two names is asked once.
#[must_use]
pub fn runtime_sockets(given: &[PathBuf], docker_host: Option<&OsStr>) -> Vec<RuntimeSocket> {
    let mut all: Vec<RuntimeSocket> = vec![];
    let mut add = |path: &Path, protocol| {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if all.len() < MAX_SOCKETS && all.iter().all(|known| known.path != path) {
            all.push(RuntimeSocket { path, protocol });
        }
    };
    for path in given {
        add(path, None);
    }
    if let Some(path) = docker_host.and_then(|host| host.as_bytes().strip_prefix(b"unix://")) {
        add(Path::new(OsStr::from_bytes(path)), Some(Protocol::Docker));
    }
    for (path, protocol) in USUAL {
        add(Path::new(path), Some(protocol));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_under_two_names_is_asked_once() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, link) = (folder.path().join("s"), folder.path().join("link"));
        fs::write(&path, "").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let host = format!("unix://{}", link.display());
        let sockets = runtime_sockets(&[path.clone(), link], Some(OsStr::new(&host)));
        let path = fs::canonicalize(path).expect("there");
        assert_eq!(sockets[0], RuntimeSocket { path: path.clone(), protocol: None });
        assert_eq!(sockets.iter().filter(|socket| socket.path == path).count(), 1);
        let named = |host| {
            runtime_sockets(&[], Some(OsStr::new(host)))
                .iter()
                .any(|socket| socket.path == Path::new("/x/d.sock"))
        };
        assert!(named("unix:///x/d.sock"));
        assert!(!named("tcp://127.0.0.1:2375"));
    }
}
