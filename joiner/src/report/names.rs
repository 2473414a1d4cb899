//! Programs, processes and connections as the page shows them, each with the filter that finds it.

use hashbrown::HashMap;
use schema::{Endpoint, Proto};
use serde_json::{Value, json};

use super::connections;
use super::filter::{self, End};
use super::party::{Behind, Group, Pair, Party};
use crate::events::{ConversationId, HostId, IdentityId, Recordings, TextId};

/// Longest filter, bytes: what is longer is not typed, but proves that names are hostile.
const MAX_FILTER: usize = 1000;

/// Names things of these recordings.
#[derive(Debug)]
pub struct Namer<'a> {
    recordings: &'a Recordings,
    /// How many programs have this name, in and outside of containers.
    namesakes: HashMap<TextId, usize>,
}

impl<'a> Namer<'a> {
    /// Tells the programs `groups` apart.
    #[must_use]
    pub fn new(recordings: &'a Recordings, groups: impl Iterator<Item = Group>) -> Self {
        let mut namesakes = HashMap::new();
        for group in groups {
            *namesakes.entry(group.comm).or_insert(0) += 1;
        }
        Self { recordings, namesakes }
    }

    /// The text, if there is any.
    #[must_use]
    pub fn text(&self, id: TextId) -> Option<&'a str> {
        self.recordings.texts.get(id).filter(|text| !text.is_empty())
    }

    /// The host, where there are several.
    #[must_use]
    pub fn host(&self, id: HostId) -> Option<&'a str> {
        let several = self.recordings.hosts.len() > 1;
        several.then(|| self.recordings.host(id).name.as_str())
    }

    /// A program.
    #[must_use]
    pub fn group(&self, group: Group) -> Value {
        json!({
            "comm": self.text(group.comm),
            "container": self.text(group.container).or(self.short_id(group.container_id)),
            "pod": self.text(group.pod),
            "host": self.host(group.host),
        })
    }

    /// One end of traffic.
    #[must_use]
    pub fn party(&self, party: Party) -> Value {
        match party {
            Party::Unnamed(address, reason) => json!({
                "address": Endpoint::v6(address, 0).ip().to_string(),
                "why": reason.as_str(),
            }),
            Party::Named(group, behind) => {
                let mut value = self.group(group);
                match behind {
                    Behind::Nobody => {}
                    Behind::Group(group) => value["behind"] = self.group(group),
                    Behind::Container(id) => {
                        let container = self.recordings.places.container(id);
                        let name = self.text(container.name).or(self.short_id(container.id));
                        value["behind"] =
                            json!({ "container": name, "pod": self.text(container.pod) });
                    }
                }
                value
            }
        }
    }

    /// A process.
    #[must_use]
    pub fn process(&self, id: IdentityId) -> Value {
        let identity = self.recordings.identity(id);
        let mut value = self.group(Group::of(self.recordings, id));
        value["proc"] = identity.proc.into();
        value["pid"] = identity.pid.into();
        value["exe"] = self.text(identity.exe).into();
        value["cmdline"] = self.text(identity.cmdline).into();
        value["user"] = self.text(identity.user).into();
        value["parent"] = self.text(identity.parent_comm).into();
        value["image"] = self.text(identity.container_image).into();
        value["filter"] = process_filter(identity.proc).into();
        value
    }

    /// A connection, by what its socket's owner knows of it.
    #[must_use]
    pub fn connection(&self, id: ConversationId) -> Value {
        let conversation = self.recordings.conversation(id);
        let life = self.recordings.life(conversation.life);
        let (local, remote) = (conversation.tuple.src, conversation.tuple.dst);
        let owner = connections::owner(&conversation, &life);
        let identity = owner.map(|owner| self.recordings.identity(owner));
        let mut value =
            owner.map_or_else(|| json!({}), |owner| self.group(Group::of(self.recordings, owner)));
        value["pid"] = identity.map(|identity| identity.pid).into();
        value["direction"] = life.direction.map(|direction| direction.as_str()).into();
        value["local"] = local.to_string().into();
        value["remote"] = remote.to_string().into();
        value["time_ms"] = super::data::ms(life.start_ns).into();
        value["latency_us"] = life.latency_us.into();
        value["retransmits"] = life.retransmits.into();
        value["bytes"] = life.bytes.map(|(sent, received)| vec![sent, received]).into();
        value["filter"] = filter::conversation(conversation.tuple.proto, [local, remote]).into();
        value
    }

    /// Shows the packets of a program.
    #[must_use]
    pub fn group_filter(&self, group: Group) -> Option<String> {
        let either = self.terms(End::Either, group)?;
        if let [only] = &either[..] {
            return Some(only.clone());
        }
        let (src, dst) = (self.terms(End::Src, group)?, self.terms(End::Dst, group)?);
        bounded(filter::either(&filter::all(&src), &filter::all(&dst)))
    }

    /// Shows what two ends have to do with each other.
    #[must_use]
    pub fn pair_filter(&self, pair: &Pair) -> Option<String> {
        let way = |from: Party, to: Party| {
            let mut terms = self.party_terms(End::Src, from)?;
            terms.extend(self.party_terms(End::Dst, to)?);
            Some(filter::all(&terms))
        };
        let (there, back) = (way(pair.client, pair.server)?, way(pair.server, pair.client)?);
        let mut terms = vec![filter::either(&there, &back)];
        terms.extend(filter::port(pair.proto, pair.port));
        bounded(filter::all(&terms))
    }

    /// Shows the connects of a program to one place.
    #[must_use]
    pub fn connect_filter(&self, group: Option<Group>, remote: Endpoint) -> Option<String> {
        let way = |near: End, far: End| {
            let mut terms = match group {
                Some(group) => self.terms(near, group)?,
                None => vec![],
            };
            terms.push(filter::address(far, remote.ip()));
            Some(filter::all(&terms))
        };
        let both = filter::either(&way(End::Src, End::Dst)?, &way(End::Dst, End::Src)?);
        let terms = [Some(both), filter::port(Proto::TCP, remote.port())];
        bounded(filter::all(&terms.into_iter().flatten().collect::<Vec<_>>()))
    }

    fn party_terms(&self, end: End, party: Party) -> Option<Vec<String>> {
        match party {
            Party::Named(group, _) => self.terms(end, group),
            Party::Unnamed(address, _) => {
                Some(vec![filter::address(end, Endpoint::v6(address, 0).ip())])
            }
        }
    }

    /// What tells a program from all others; `None` if it has no name that can be typed.
    fn terms(&self, end: End, group: Group) -> Option<Vec<String>> {
        let mut terms = vec![];
        if let Some(comm) = self.text(group.comm) {
            terms.push(filter::text(end, "comm", comm)?);
        }
        let contained = [
            ("container_name", group.container),
            ("container_id", group.container_id),
            ("pod", group.pod),
        ];
        let contained = contained.into_iter().filter_map(|(key, id)| Some((key, self.text(id)?)));
        let before = terms.len();
        for (key, value) in contained {
            terms.push(filter::text(end, key, value)?);
        }
        let has_namesakes = self.namesakes.get(&group.comm).is_some_and(|&count| count > 1);
        if terms.len() == before && has_namesakes {
            terms.push(filter::absent(end, "container_id"));
        }
        if let Some(host) = self.host(group.host) {
            terms.push(filter::text(end, "host", host)?);
        }
        (!terms.is_empty()).then_some(terms)
    }

    /// As many digits of a container's id as `docker ps` shows.
    fn short_id(&self, id: TextId) -> Option<&'a str> {
        self.text(id).map(|id| id.char_indices().nth(12).map_or(id, |(end, _)| &id[..end]))
    }
}

fn process_filter(proc: u32) -> String {
    format!("ebpf.proc == \"{proc}\"")
}

fn bounded(filter: String) -> Option<String> {
    (filter.len() <= MAX_FILTER).then_some(filter)
}
