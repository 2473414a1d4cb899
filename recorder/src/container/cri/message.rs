//! The messages of `runtime.v1.RuntimeService`, as far as they are of use: fields by the numbers
//! that Kubernetes' CRI API gives them. What is not listed here is skipped.

use std::collections::HashMap;

use prost::Message;

use crate::container::details::{Details, Pod, is_id, kept};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionReply {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

/// A filter by id is the same for containers and sandboxes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Filter {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<SandboxMetadata>,
    /// 0 is ready.
    #[prost(int32, tag = "3")]
    state: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

impl Sandbox {
    pub(super) fn runs(&self) -> bool {
        self.state == 0
    }

    pub(super) fn pod(&self) -> Option<Pod> {
        let metadata = self.metadata.clone()?;
        Some(Pod {
            name: kept(metadata.name),
            namespace: kept(metadata.namespace),
            uid: kept(metadata.uid),
        })
    }

    /// A sandbox is a container to the kernel, and has no name to people.
    pub(super) fn details(&self, runtime: &'static str) -> Option<Details> {
        let pod = self.pod();
        is_id(&self.id).then(|| Details {
            id: self.id.clone(),
            runtime: Some(runtime),
            pod,
            ..Details::default()
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) sandbox: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, tag = "18")]
    asked_for: String,
}

impl Image {
    /// A name that people know; the kubelet hands on the image's digest instead.
    fn name(self) -> Option<String> {
        let digest = |text: &String| {
            let hex = text.strip_prefix("sha256:").unwrap_or(text);
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        [self.asked_for, self.image].into_iter().filter(|name| !digest(name)).find_map(kept)
    }
}

impl Container {
    /// Whether only its status tells what the image is called.
    pub(super) fn lacks_image(&self) -> bool {
        self.image.clone().and_then(Image::name).is_none()
    }

    pub(super) fn details(self, runtime: &'static str, pod: Option<Pod>) -> Option<Details> {
        let mut labels = self.labels;
        let mut label = |name: &str| labels.remove(name).and_then(kept);
        let labelled = Pod {
            name: label("io.kubernetes.pod.name"),
            namespace: label("io.kubernetes.pod.namespace"),
            uid: label("io.kubernetes.pod.uid"),
        };
        let pod = pod.or_else(|| (labelled != Pod::default()).then_some(labelled));
        is_id(&self.id).then(|| Details {
            id: self.id,
            name: self.metadata.and_then(|metadata| kept(metadata.name)),
            image: self.image.and_then(Image::name),
            runtime: Some(runtime),
            pod,
        })
    }
}

/// The requests for the status of a container and of a sandbox.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusReply {
    #[prost(message, optional, tag = "1")]
    status: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerStatus {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "8")]
    image: Option<Image>,
}

impl ContainerStatusReply {
    /// What the image of container `id` is called.
    pub(super) fn image(self, id: &str) -> Option<String> {
        self.status.filter(|status| status.id == id)?.image.and_then(Image::name)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SandboxStatusReply {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<SandboxStatus>,
    /// JSON, as each runtime likes it.
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SandboxStatus {
    #[prost(message, optional, tag = "5")]
    pub(super) network: Option<Network>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Network {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) more: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodIp {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
}

/// What a `GetContainerEvents` stream tells.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
}

/// `CONTAINER_STOPPED_EVENT` and `CONTAINER_DELETED_EVENT`.
pub(super) const ENDED: [i32; 2] = [2, 3];
