//! Kubernetes' container runtime interface: containerd, CRI-O and their like. Version 1 of the
//! API, which every runtime offers since Kubernetes 1.26.

mod message;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use prost::Message;
use schema::{Endpoint, Proto};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use self::message::{
    Container, ContainerStatusReply, ENDED, Empty, Event, Filter, ListRequest, Sandbox,
    SandboxStatusReply, StatusRequest, VersionReply,
};
use super::{
    details::{Pod, Port},
    grpc::{Answers, Client, NOT_FOUND, UNIMPLEMENTED},
    http::Failure,
    worker::Link,
};

/// Bytes of a list at most. A container takes some KiB in it, and a node has some hundreds.
const MAX_LIST: usize = 4 << 20;
/// Bytes of what is told of one container or sandbox.
const MAX_STATUS: usize = 1 << 20;
/// Containers, and sandboxes, of a list that are looked at.
const MAX_LISTED: usize = 4096;
/// Events in a second: more than any node starts and ends. Who sends more is not listened to.
const MAX_EVENTS: u32 = 1000;
/// How often everything is listed again where the runtime tells of no events.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// Serves questions until something fails.
pub(super) async fn serve(link: &mut Link) -> Result<(), Failure> {
    let mut client = Client::connect(&link.path).await?;
    let version: VersionReply =
        decode(&client.call(&method("Version"), &Empty {}, MAX_STATUS).await?)?;
    let runtime = runtime_name(&version.runtime_name);
    let mut runs = Session { client: &mut client, runtime, pods: HashMap::new() };
    let mut on_events = Client::connect(&link.path).await?;
    let mut events = Events::Waiting;
    runs.list(link).await?;
    link.is_up(runtime, version.runtime_version);
    let mut list_at = Instant::now() + LIST_EVERY;
    loop {
        tokio::select! {
            event = events.next(&mut on_events) => match event? {
                Some(event) if ENDED.contains(&event.kind) => link.ended(&event.id),
                Some(event) => runs.ask(link, &event.id).await?,
                // From now on it is listed again and again.
                None => events = Events::None,
            },
            id = link.question() => {
                runs.ask(link, &id).await?;
                link.answered(&id);
            }
            () = sleep_until(list_at) => {
                // What events tell is listed less often, in case one was missed.
                runs.list(link).await?;
                let rest = if matches!(events, Events::None) { LIST_EVERY } else { LIST_EVERY * 6 };
                list_at = Instant::now() + rest;
            }
        }
    }
}

fn method(name: &str) -> String {
    format!("runtime.v1.RuntimeService/{name}")
}

/// What the event file calls the runtime that calls itself so.
fn runtime_name(name: &str) -> &'static str {
    match name {
        "cri-o" => "cri-o",
        "docker" => "docker",
        _ => "containerd",
    }
}

/// What the runtime tells unasked.
enum Events {
    /// It has not said yet whether it does.
    Waiting,
    /// It does; so many in the second that began then.
    Some(Answers, Instant, u32),
    /// It does not.
    None,
}

impl Events {
    /// The next event; `None` if there are none to come.
    async fn next(&mut self, client: &mut Client) -> Result<Option<Event>, Failure> {
        if matches!(self, Self::Waiting) {
            // The answer begins with the first event, which may be long in coming.
            match client.stream(&method("GetContainerEvents"), &Empty {}).await {
                Ok(answers) => *self = Self::Some(answers, Instant::now(), 0),
                Err(Failure::Status(_)) => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
        let Self::Some(answers, since, count) = self else { return std::future::pending().await };
        match answers.next(MAX_STATUS).await {
            Ok(Some(answer)) => {
                if since.elapsed() >= Duration::from_secs(1) {
                    (*since, *count) = (Instant::now(), 0);
                }
                *count += 1;
                if *count > MAX_EVENTS {
                    return Err(Failure::Flood);
                }
                decode(&answer).map(Some)
            }
            Ok(None) | Err(Failure::Status(UNIMPLEMENTED)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

struct Session<'a> {
    client: &'a mut Client,
    runtime: &'static str,
    /// Sandbox → its pod, as of the last list.
    pods: HashMap<String, Option<Pod>>,
}

impl Session<'_> {
    /// Tells of everything there is.
    async fn list(&mut self, link: &Link) -> Result<(), Failure> {
        let sandboxes = self.sandboxes(None).await?;
        self.pods.clear();
        let mut runs = HashSet::new();
        for sandbox in &sandboxes {
            self.pods.insert(sandbox.id.clone(), sandbox.pod());
            if sandbox.runs() && self.learn_sandbox(link, sandbox, false).await? {
                runs.insert(sandbox.id.clone());
            }
        }
        for container in self.containers(None).await? {
            self.learn_container(link, container).await?;
        }
        link.runs_only(&runs);
        Ok(())
    }

    /// Tells of one container or sandbox, if there is such a one.
    async fn ask(&mut self, link: &Link, id: &str) -> Result<(), Failure> {
        for container in self.containers(Some(id)).await? {
            if container.id != id {
                continue;
            }
            if !self.pods.contains_key(&container.sandbox) {
                let of = container.sandbox.clone();
                self.learn_sandboxes(link, &of).await?;
            }
            return self.learn_container(link, container).await;
        }
        self.learn_sandboxes(link, id).await
    }

    async fn learn_sandboxes(&mut self, link: &Link, id: &str) -> Result<(), Failure> {
        for sandbox in self.sandboxes(Some(id)).await? {
            if sandbox.id == id && self.pods.len() < MAX_LISTED {
                self.pods.insert(sandbox.id.clone(), sandbox.pod());
                self.learn_sandbox(link, &sandbox, true).await?;
            }
        }
        Ok(())
    }

    async fn learn_container(&mut self, link: &Link, container: Container) -> Result<(), Failure> {
        let pod = self.pods.get(&container.sandbox).cloned().flatten();
        let lacks_image = container.lacks_image();
        let Some(mut details) = container.details(self.runtime, pod) else { return Ok(()) };
        if lacks_image && !link.knows_image(&details.id) {
            let request = StatusRequest { id: details.id.clone(), verbose: false };
            match self.client.call(&method("ContainerStatus"), &request, MAX_STATUS).await {
                Ok(answer) => {
                    details.image = decode::<ContainerStatusReply>(&answer)?.image(&details.id);
                }
                Err(Failure::Status(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        link.learn(details);
        Ok(())
    }

    /// Tells of a sandbox and, if it is `new` or not known yet, of its ports. Returns whether it
    /// is a container at all.
    async fn learn_sandbox(
        &mut self,
        link: &Link,
        sandbox: &Sandbox,
        new: bool,
    ) -> Result<bool, Failure> {
        let Some(details) = sandbox.details(self.runtime) else { return Ok(false) };
        if !sandbox.runs() || (!new && link.knows(&details.id)) {
            link.learn(details);
            return Ok(true);
        }
        let request = StatusRequest { id: details.id.clone(), verbose: true };
        match self.client.call(&method("PodSandboxStatus"), &request, MAX_STATUS).await {
            Ok(answer) => {
                let ports = ports(decode(&answer)?);
                link.learn_running(details, self.client.netns, ports);
            }
            Err(Failure::Status(_)) => link.learn(details),
            Err(failure) => return Err(failure),
        }
        Ok(true)
    }

    async fn sandboxes(&mut self, id: Option<&str>) -> Result<Vec<Sandbox>, Failure> {
        self.list_of("ListPodSandbox", id).await
    }

    async fn containers(&mut self, id: Option<&str>) -> Result<Vec<Container>, Failure> {
        self.list_of("ListContainers", id).await
    }

    async fn list_of<T: Message + Default>(
        &mut self,
        name: &str,
        id: Option<&str>,
    ) -> Result<Vec<T>, Failure> {
        let request = ListRequest { filter: id.map(|id| Filter { id: id.to_owned() }) };
        match self.client.call(&method(name), &request, MAX_LIST).await {
            Ok(answer) => items(&answer),
            Err(Failure::Status(NOT_FOUND)) => Ok(vec![]),
            Err(failure) => Err(failure),
        }
    }
}

fn decode<T: Message + Default>(bytes: &[u8]) -> Result<T, Failure> {
    T::decode(bytes).map_err(|error| Failure::Garbage(error.to_string()))
}

/// The messages of field 1, one by one: a list of four million empty ones fits into the bytes that
/// are taken, and must not be made.
fn items<T: Message + Default>(mut bytes: &[u8]) -> Result<Vec<T>, Failure> {
    use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
    let broken = |error: prost::DecodeError| Failure::Garbage(error.to_string());
    let mut items = vec![];
    while !bytes.is_empty() && items.len() < MAX_LISTED {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(broken)?;
        if (tag, wire_type) != (1, WireType::LengthDelimited) {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).map_err(broken)?;
            continue;
        }
        let length = decode_varint(&mut bytes).map_err(broken)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((item, rest)) = bytes.split_at_checked(length) else {
            return Err(Failure::Garbage("a list that ends too early".to_owned()));
        };
        items.push(decode(item)?);
        bytes = rest;
    }
    Ok(items)
}

/// What containerd tells of a sandbox besides, of interest here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    config: Config,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    port_mappings: Vec<Mapping>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mapping {
    protocol: i32,
    container_port: i32,
    host_port: i32,
    host_ip: String,
}

/// The published ports of a sandbox, where the runtime tells them.
fn ports(reply: SandboxStatusReply) -> Vec<Port> {
    let info = reply.info.get("info").and_then(|text| serde_json::from_str::<Info>(text).ok());
    let network = reply.status.and_then(|status| status.network).unwrap_or_default();
    let more = network.more.iter().map(|more| more.ip.as_str());
    let inside: Vec<IpAddr> =
        std::iter::once(network.ip.as_str()).chain(more).filter_map(|ip| ip.parse().ok()).collect();
    let mappings = info.unwrap_or_default().config.port_mappings;
    mappings.iter().filter_map(|mapping| mapping.port(&inside)).collect()
}

impl Mapping {
    fn port(&self, inside: &[IpAddr]) -> Option<Port> {
        let host = match self.host_ip.as_str() {
            "" => IpAddr::from([0, 0, 0, 0]),
            ip => ip.parse().ok()?,
        };
        let mut same = inside.iter().filter(|addr| addr.is_ipv4() == host.is_ipv4());
        let only = same.next().filter(|_| same.next().is_none());
        let host_port = u16::try_from(self.host_port).ok().filter(|&port| port != 0)?;
        let proto = match self.protocol {
            0 => Proto::TCP,
            1 => Proto::UDP,
            2 => Proto::SCTP,
            _ => return None,
        };
        Some(Port {
            proto,
            host: Endpoint::new(host, host_port),
            container_addr: only.copied(),
            container_port: u16::try_from(self.container_port).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nothing_takes_no_memory() {
        let empty = [0x0a, 0].repeat(MAX_LIST / 2);
        assert_eq!(items::<Container>(&empty).map(|all| all.len()).ok(), Some(MAX_LISTED));
        assert!(items::<Container>(&[0x0a, 200]).is_err());
        // A field of a later version is skipped.
        let more = [0x12, 1, 0, 0x0a, 0];
        assert_eq!(items::<Container>(&more).map(|all| all.len()).ok(), Some(1));
    }

    #[test]
    fn a_sandbox_tells_its_ports() {
        let info = r#"{"pid": 7, "config": {"port_mappings": [
            {"container_port": 8080, "host_port": 4448},
            {"protocol": 1, "container_port": 53, "host_port": 5353, "host_ip": "::"},
            {"container_port": 9}, {"container_port": 9, "host_port": 70000}]}}"#;
        let network = message::Network {
            ip: "10.88.0.2".to_owned(),
            more: vec![message::PodIp { ip: "fd00::2".to_owned() }],
        };
        let reply = SandboxStatusReply {
            status: Some(message::SandboxStatus { network: Some(network) }),
            info: HashMap::from([("info".to_owned(), info.to_owned())]),
        };
        let told: Vec<_> = ports(reply)
            .iter()
            .map(|port| {
                let inside = port.container_addr.map(|addr| addr.to_string());
                let host = (port.host.ip().to_string(), port.host.port());
                (port.proto, host, inside, port.container_port)
            })
            .collect();
        let own = str::to_owned;
        assert_eq!(
            told,
            [
                (Proto::TCP, (own("0.0.0.0"), 4448), Some(own("10.88.0.2")), 8080),
                (Proto::UDP, (own("::"), 5353), Some(own("fd00::2")), 53),
            ]
        );
    }
}
