//! What a container runtime says of a container. Its text is the runtime's, and through it the
//! user's: only its length is bounded here.

use std::net::IpAddr;

use schema::{Endpoint, Proto};

/// Bytes of a name at most. Docker and Kubernetes allow 255; image references are longer, with
/// registry, tag and digest some 500.
const MAX_TEXT: usize = 1024;

/// A container, as its runtime knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What people call it: in a pod, the name it has there. A pod's sandbox has none.
    pub name: Option<String>,
    /// The image, as it was asked for.
    pub image: Option<String>,
    /// `docker`, `containerd`, `cri-o` or `podman`.
    pub runtime: Option<&'static str>,
    /// The pod it is in.
    pub pod: Option<Pod>,
}

/// A pod of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the columns of the same name")]
pub struct Pod {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub uid: Option<String>,
}

/// A port on the host that leads into a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// TCP, UDP or SCTP.
    pub proto: Proto,
    /// On the host; the address may be a wildcard.
    pub host: Endpoint,
    /// The container's address, where there is only one it can be.
    pub container_addr: Option<IpAddr>,
    /// In the container.
    pub container_port: u16,
}

/// Text worth keeping: neither empty nor longer than any runtime allows.
pub(super) fn kept(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text)
}

/// Whether this is a container's id, as cgroup paths hold it.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
