//! What the Engine API answers, as far as it is of use. Every field may be missing: versions
//! differ, podman's answers differ from Docker's, and what is there may be wrong.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use schema::{Endpoint, Proto};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::container::details::{Details, Pod, Port, is_id, kept};

/// `GET /version`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Version {
    pub(super) api_version: String,
    version: String,
    components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Component {
    name: String,
}

impl Version {
    /// Which runtime answers, and its version.
    pub(super) fn runtime(self) -> (&'static str, String) {
        let podman = self.components.iter().any(|part| part.name.starts_with("Podman"));
        (if podman { "podman" } else { "docker" }, self.version)
    }
}

/// The labels that Kubernetes' adapters give containers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "io.kubernetes.container.name")]
    container: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    pod_name: Option<String>,
    #[serde(rename = "io.kubernetes.pod.namespace")]
    pod_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    pod_uid: Option<String>,
    #[serde(rename = "io.kubernetes.docker.type")]
    kind: Option<String>,
}

/// What Kubernetes' adapters call a pod's sandbox in that label.
const SANDBOX: &str = "podsandbox";

impl Labels {
    fn pod(&mut self) -> Option<Pod> {
        let pod = Pod {
            name: self.pod_name.take().and_then(kept),
            namespace: self.pod_namespace.take().and_then(kept),
            uid: self.pod_uid.take().and_then(kept),
        };
        (pod != Pod::default()).then_some(pod)
    }

    /// What to call a container that Docker calls `name`.
    fn name(&mut self, name: Option<String>) -> Option<String> {
        if self.kind.as_deref() == Some(SANDBOX) {
            return None;
        }
        self.container.take().or(name).and_then(kept)
    }
}

fn details(
    id: String,
    name: Option<String>,
    image: Option<String>,
    labels: Option<Labels>,
    runtime: &'static str,
) -> Option<Details> {
    let mut labels = labels.unwrap_or_default();
    let pod = labels.pod();
    let name = name.map(|name| name.strip_prefix('/').map_or(name.clone(), str::to_owned));
    is_id(&id).then(|| Details {
        id,
        name: labels.name(name),
        image: image.and_then(kept),
        runtime: Some(runtime),
        pod,
    })
}

/// `GET /containers/json`, the first of its containers: a million empty ones fit into the bytes
/// that are taken, and must not be made.
pub(super) struct List(pub(super) Vec<Listed>);

/// Containers of a list that are looked at.
const MAX_LISTED: usize = 4096;

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;

        impl<'de> Visitor<'de> for First {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of containers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<List, A::Error> {
                let mut first = vec![];
                while first.len() < MAX_LISTED {
                    match all.next_element()? {
                        Some(container) => first.push(container),
                        None => return Ok(List(first)),
                    }
                }
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(List(first))
            }
        }

        deserializer.deserialize_seq(First)
    }
}

/// One of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    labels: Option<Labels>,
    ports: Option<Vec<ListedPort>>,
    network_settings: Option<Networks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListedPort {
    #[serde(rename = "IP")]
    ip: Option<String>,
    #[serde(rename = "PrivatePort")]
    inside: u16,
    #[serde(rename = "PublicPort")]
    outside: u16,
    #[serde(rename = "Type")]
    proto: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    networks: Option<HashMap<String, Option<Network>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    #[serde(rename = "IPAddress")]
    v4: String,
    #[serde(rename = "GlobalIPv6Address")]
    v6: String,
}

impl Listed {
    pub(super) fn read(self, runtime: &'static str) -> Option<(Details, Vec<Port>)> {
        let addresses = Addresses::new(self.network_settings.unwrap_or_default());
        // Links of other containers give one more names, with a path.
        let names = self.names.unwrap_or_default();
        let name = names.into_iter().find(|name| !name.trim_start_matches('/').contains('/'));
        let ports = self.ports.unwrap_or_default();
        let ports = ports.iter().filter_map(|port| {
            let host = host_addr(port.ip.as_deref()?)?;
            addresses.port(&port.proto, host, port.outside, port.inside)
        });
        let ports = ports.collect();
        Some((details(self.id, name, self.image, self.labels, runtime)?, ports))
    }
}

/// `GET /containers/ID/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    id: String,
    name: Option<String>,
    state: ContainerState,
    config: Config,
    network_settings: InspectedNetworks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerState {
    running: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: Option<String>,
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedNetworks {
    /// `8080/tcp` → where on the host.
    ports: Option<HashMap<String, Option<Vec<Binding>>>>,
    networks: Option<HashMap<String, Option<Network>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    host_ip: String,
    host_port: String,
}

impl Inspected {
    /// The container, and its ports if it runs.
    pub(super) fn read(self, runtime: &'static str) -> Option<(Details, Option<Vec<Port>>)> {
        let InspectedNetworks { ports, networks } = self.network_settings;
        let addresses = Addresses::new(Networks { networks });
        let mut found = vec![];
        for (inside, bindings) in ports.into_iter().flatten() {
            let Some((inside, proto)) = inside.split_once('/') else { continue };
            for binding in bindings.into_iter().flatten() {
                let host = host_addr(&binding.host_ip);
                let numbers = host.zip(binding.host_port.parse().ok()).zip(inside.parse().ok());
                found.extend(numbers.and_then(|((host, outside), inside)| {
                    addresses.port(proto, host, outside, inside)
                }));
            }
        }
        let details = details(self.id, self.name, self.config.image, self.config.labels, runtime)?;
        Some((details, self.state.running.then_some(found)))
    }
}

fn host_addr(text: &str) -> Option<IpAddr> {
    match text {
        // podman's way to say every address.
        "" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        text => text.parse().ok(),
    }
}

/// The addresses a container has.
struct Addresses {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Addresses {
    fn new(networks: Networks) -> Self {
        let networks = || networks.networks.iter().flatten().filter_map(|(_, of)| of.as_ref());
        Self {
            v4: networks().filter_map(|network| network.v4.parse().ok()).collect(),
            v6: networks().filter_map(|network| network.v6.parse().ok()).collect(),
        }
    }

    /// Where a port leads. With an address in each of several networks it is not told to which.
    fn port(&self, proto: &str, host: IpAddr, outside: u16, inside: u16) -> Option<Port> {
        let proto = Proto::from_name(proto)?;
        // A container without IPv6 is reached over IPv4 from an IPv6 address as well.
        let all = if host.is_ipv6() && !self.v6.is_empty() { &self.v6 } else { &self.v4 };
        let container_addr = match all.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        (outside != 0).then(|| Port {
            proto,
            host: Endpoint::new(host, outside),
            container_addr,
            container_port: inside,
        })
    }
}

/// One of `GET /events`, of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attributes {
    name: Option<String>,
    image: Option<String>,
    #[serde(flatten)]
    labels: Labels,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// It was made or renamed.
    Named,
    Started,
    Ended,
}

impl Event {
    pub(super) fn read(self, runtime: &'static str) -> Option<(Happened, Details)> {
        let happened = match self.action.as_str() {
            "create" | "rename" | "init" => Happened::Named,
            "start" => Happened::Started,
            "die" | "died" => Happened::Ended,
            _ => return None,
        };
        let Attributes { name, image, labels } = self.actor.attributes;
        Some((happened, details(self.actor.id, name, image, Some(labels), runtime)?))
    }
}
