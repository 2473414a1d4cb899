//! The sixth rule: a process that takes connections and makes others for them, as docker-proxy does.
//! Its two sockets are known to belong together by what it did (`forward` rows), or by what each
//! carried, never by their order. Where that leaves a doubt, its arguments still tell the container.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use schema::{Endpoint, EventDirection, Proto};

use crate::events::{Conversation, ConversationId, IdentityId, LifeId, Recordings};

/// What docker-proxy's process is called.
const DOCKER_PROXY: &str = "docker-proxy";

/// Which side of a forwarding process a socket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leg {
    /// It was taken.
    Front,
    /// It was made for a taken one.
    Back,
}

/// What is on the other side of a forwarding process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Far {
    pub(super) leg: Leg,
    /// The socket there, if it is certain.
    pub(super) other: Option<LifeId>,
    /// Where the arguments say that the port leads.
    pub(super) target: Option<(Proto, Endpoint)>,
}

/// What docker-proxy's arguments say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arguments {
    proto: Proto,
    host_port: u16,
    target: Endpoint,
}

/// All sockets of forwarding processes.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    lives: HashMap<LifeId, Far>,
    /// What each of them has with its peer.
    conversations: HashMap<LifeId, ConversationId>,
    /// Those of docker-proxy, by its processes.
    arguments: HashMap<IdentityId, Option<Arguments>>,
}

impl Proxies {
    pub(super) fn new(recordings: &Recordings) -> Self {
        let mut proxies = Self::default();
        proxies.pair_by_rows(recordings);
        proxies.read_arguments(recordings);
        proxies.pair_by_bytes(recordings);
        for (id, conversation) in
            (0..).map(ConversationId).zip(recordings.conversations.iter(&recordings.lives))
        {
            if proxies.lives.contains_key(&conversation.life) {
                proxies.conversations.entry(conversation.life).or_insert(id);
            }
        }
        proxies
    }

    /// What `life`, which is of a forwarding process, has with its peer.
    pub(super) fn conversation(&self, life: LifeId) -> Option<ConversationId> {
        self.conversations.get(&life).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lives.is_empty() && self.arguments.is_empty()
    }

    /// What is behind the socket `life` of `owner`.
    pub(super) fn behind(
        &self,
        recordings: &Recordings,
        life: LifeId,
        owner: IdentityId,
    ) -> Option<Far> {
        self.lives.get(&life).copied().or_else(|| {
            // A listener, or an unconnected socket: its packets are the front's.
            let arguments = (*self.arguments.get(&owner)?)?;
            let is_its = recordings.life(life).owner.is_some();
            let target = Some((arguments.proto, arguments.target));
            is_its.then_some(Far { leg: Leg::Front, other: None, target })
        })
    }

    /// Pairs the sockets that the process was seen to move data between.
    fn pair_by_rows(&mut self, recordings: &Recordings) {
        if recordings.forwards.is_empty() {
            return;
        }
        let wanted: HashSet<_> = recordings
            .forwards
            .iter()
            .flat_map(|forward| forward.sockets.map(|socket| (forward.host, socket)))
            .collect();
        let mut by_cookie = HashMap::new();
        for (id, life) in (0..).map(LifeId).zip(recordings.lives.iter()) {
            let key = (life.host, life.socket_cookie);
            if wanted.contains(&key) {
                by_cookie.insert(key, id);
            }
        }
        for forward in &recordings.forwards {
            let ends = forward.sockets.map(|socket| by_cookie.get(&(forward.host, socket)));
            let [Some(&one), Some(&other)] = ends else { continue };
            for (this, that) in [(one, other), (other, one)] {
                let leg = leg_of(recordings, this, that);
                let far = Far { leg, other: Some(that), target: None };
                self.lives
                    .entry(this)
                    // One socket with two others: which is meant nobody knows.
                    .and_modify(|known| known.other = known.other.filter(|&known| known == that))
                    .or_insert(far);
            }
        }
    }

    /// Takes note of docker-proxy's sockets, and where its port leads.
    fn read_arguments(&mut self, recordings: &Recordings) {
        for id in recordings.conversations.ids() {
            let owner = recordings.lives.owner(recordings.conversations.life(id));
            let Some(owner) = owner else { continue };
            let Some(arguments) = self.arguments_of(recordings, owner) else { continue };
            let conversation = recordings.conversation(id);
            let Some(leg) = arguments.leg(&conversation) else { continue };
            let target = Some((arguments.proto, arguments.target));
            let far =
                self.lives.entry(conversation.life).or_insert(Far { leg, other: None, target });
            (far.leg, far.target) = (leg, target);
        }
        for listener in &recordings.listeners {
            if let Some(owner) = recordings.life(listener.life).owner {
                self.arguments_of(recordings, owner);
            }
        }
        self.arguments.retain(|_, arguments| arguments.is_some());
    }

    fn arguments_of(&mut self, recordings: &Recordings, owner: IdentityId) -> Option<Arguments> {
        *self.arguments.entry(owner).or_insert_with(|| {
            let identity = recordings.identity(owner);
            let text = |id| recordings.texts.get(id).unwrap_or_default();
            let exe = text(identity.exe).rsplit('/').next();
            let is_proxy = exe == Some(DOCKER_PROXY) || text(identity.comm) == DOCKER_PROXY;
            is_proxy.then(|| Arguments::parse(text(identity.cmdline))).flatten()
        })
    }

    /// Pairs what carried the same bytes each way, where no two others did in the same process.
    fn pair_by_bytes(&mut self, recordings: &Recordings) {
        let mut legs: HashMap<(u32, Leg, [u64; 2]), Vec<LifeId>> = HashMap::new();
        for (&id, far) in self.lives.iter().filter(|(_, far)| far.other.is_none()) {
            let life = recordings.life(id);
            let (Some(owner), Some((sent, received))) = (life.owner, life.bytes) else { continue };
            let bytes = match far.leg {
                Leg::Front => [received, sent],
                Leg::Back => [sent, received],
            };
            // What carried nothing agrees with everything that carried nothing.
            if bytes != [0, 0] {
                let process = recordings.identity(owner).proc;
                legs.entry((process, far.leg, bytes)).or_default().push(id);
            }
        }
        let mut pairs = vec![];
        for (&(process, leg, bytes), fronts) in &legs {
            let backs = legs.get(&(process, Leg::Back, bytes));
            let (Leg::Front, Some(backs)) = (leg, backs) else { continue };
            for &front in fronts {
                let mut fitting = backs.iter().filter(|&&back| overlap(recordings, front, back));
                let (Some(&back), None) = (fitting.next(), fitting.next()) else { continue };
                let mut rivals = fronts.iter().filter(|&&rival| overlap(recordings, rival, back));
                if rivals.next() == Some(&front) && rivals.next().is_none() {
                    pairs.push((front, back));
                }
            }
        }
        for (front, back) in pairs {
            for (this, that) in [(front, back), (back, front)] {
                if let Some(far) = self.lives.get_mut(&this) {
                    far.other = Some(that);
                }
            }
        }
    }
}

/// Whether `back` was made while `front` was open, with nothing lost meanwhile.
fn overlap(recordings: &Recordings, front: LifeId, back: LifeId) -> bool {
    let (front, back) = (recordings.life(front), recordings.life(back));
    let host = recordings.host(front.host);
    front.start_ns <= back.start_ns
        && back.start_ns <= front.end_ns
        && !host.lost_between(front.start_ns, front.end_ns.max(back.end_ns))
}

/// Which of two sockets of one process `this` is, the other being `that`.
fn leg_of(recordings: &Recordings, this: LifeId, that: LifeId) -> Leg {
    let (this, that) = (recordings.life(this), recordings.life(that));
    match (this.direction, that.direction) {
        (Some(EventDirection::In), _) | (_, Some(EventDirection::Out)) => Leg::Front,
        (Some(EventDirection::Out), _) | (_, Some(EventDirection::In)) => Leg::Back,
        (None, None) => Leg::Front,
    }
}

impl Arguments {
    /// Reads `-proto tcp -host-ip 0.0.0.0 -host-port 4443 -container-ip 172.17.0.2 -container-port
    /// 8080`; options have one dash or two, and their value behind a space or an equals sign.
    fn parse(cmdline: &str) -> Option<Self> {
        let mut words = cmdline.split([' ', '=']).peekable();
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            if let Some(option) = word.strip_prefix('-')
                && let Some(value) = words.next_if(|next| !next.starts_with('-'))
            {
                values.insert(option.trim_start_matches('-'), value);
            }
        }
        let address: IpAddr = values.get("container-ip")?.parse().ok()?;
        let port = values.get("container-port")?.parse().ok()?;
        Some(Self {
            proto: Proto::from_name(values.get("proto")?)?,
            host_port: values.get("host-port")?.parse().ok()?,
            target: Endpoint::new(address, port),
        })
    }

    /// The side that `conversation` is on.
    fn leg(&self, conversation: &Conversation) -> Option<Leg> {
        let tuple = conversation.tuple;
        if tuple.proto != self.proto {
            None
        } else if tuple.dst == self.target {
            Some(Leg::Back)
        } else if tuple.src.port() == self.host_port {
            Some(Leg::Front)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_docker_proxy_are_read() {
        let parsed = Arguments::parse(
            "/usr/sbin/docker-proxy -proto tcp -host-ip :: -host-port 4443 -container-ip \
             172.17.0.2 -container-port 8080",
        );
        let target = Endpoint::v4([172, 17, 0, 2], 8080);
        assert_eq!(parsed, Some(Arguments { proto: Proto::TCP, host_port: 4443, target }));
        let newer = "docker-proxy --proto=tcp --host-port=4443 --container-ip=172.17.0.2 \
                     --container-port=8080 -use-listen-fd";
        assert_eq!(Arguments::parse(newer), parsed);
        assert_eq!(Arguments::parse("docker-proxy -proto tcp -host-port x"), None);
        assert_eq!(Arguments::parse(""), None);
    }
}
