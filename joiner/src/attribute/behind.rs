//! Who is behind a forwarding process: the process at the other end of its other connection.

use schema::annotation::{Reason, Rule};
use schema::{Endpoint, Proto};

use super::Matcher;
use super::lanes::{Fit, Found};
use super::proxy::{Far, Leg};
use super::role::Role;
use super::seen::Seen;
use super::verdict::{Holder, Via};
use crate::decode::Packet;
use crate::events::{ContainerId, IdentityId, LifeId, Tenant};

/// How often, in halves of what is left each time, a connection is looked at to find its other end.
const LOOKS: u32 = 16;

impl Matcher {
    /// Whom the process forwards for.
    pub(super) fn via(&self, holder: Holder, owner: IdentityId, time_ns: i64) -> Via {
        if self.proxies.is_empty() {
            return Via::Nobody;
        }
        let life = match holder {
            Holder::Conversation(id) => self.recordings.conversations.life(id),
            Holder::Listener(id) => self.recordings.listeners[super::position(id)].life,
        };
        let Some(Far { leg, other, target }) = self.proxies.behind(&self.recordings, life, owner)
        else {
            return Via::Nobody;
        };
        let container = match leg {
            Leg::Front => target.and_then(|target| self.container_at(target, time_ns)),
            Leg::Back => None,
        };
        let Some(other) = other else { return Via::Container(container, Reason::Ambiguous) };
        match self.at_the_far_end(other, time_ns) {
            Some((owner, nat)) => {
                Via::Process { owner: self.recordings.identity_at(owner, time_ns), nat }
            }
            // A client on another machine.
            None if leg == Leg::Back => Via::Nobody,
            None => Via::Container(container, Reason::NoSocket),
        }
    }

    /// The process that `life` is connected to, and whether through a translation.
    pub(super) fn at_the_far_end(&self, life: LifeId, time_ns: i64) -> Option<(IdentityId, bool)> {
        let conversation = self.recordings.conversation(self.proxies.conversation(life)?);
        let this = self.recordings.life(life);
        let end_ns = this.end_ns.min(this.sure_ns);
        // Who is there does not change while the connection lasts. Half way through, both its ends
        // are open, and another connection's of the same tuple are not; nearer to its end, where the
        // SYN had to be sent again, or to its start, where this end stayed behind.
        let is_within = (this.start_ns + 1..end_ns).contains(&time_ns);
        let tuple = conversation.tuple;
        let (packet, flow) = (Packet::of(tuple), self.flow_of(tuple));
        let look = |at_ns| {
            let seen = Seen::at(at_ns);
            let role = Role::new(tuple.canonical(), flow, &packet, &seen, false);
            // An address of the host's own is so where the proxy is.
            let role = Role { translated: this.namespace, ..role };
            match self.lives_of(tuple, role, &mut ()) {
                Fit::Nobody => self.elsewhere(role, &mut ()),
                fit => (fit, false),
            }
        };
        let length_ns = end_ns.saturating_sub(this.start_ns);
        let nearer = || (1..=LOOKS).map(|look| length_ns >> look);
        let to_end = nearer().map(|left| end_ns - left);
        let to_start = nearer().map(|gone| this.start_ns + gone);
        let is_open = |&(at_ns, (fit, _)): &(i64, (Fit, bool))| match fit {
            Fit::One(Found {
                rule: Rule::Exact, holder: Some(Holder::Conversation(id)), ..
            }) => {
                let far = self.recordings.life_of(id);
                at_ns <= far.sure_ns
            }
            _ => false,
        };
        let moments = to_end.chain(is_within.then_some(time_ns)).chain(to_start);
        let open = moments.map(|at_ns| (at_ns, look(at_ns))).find(is_open);
        let listening = || {
            let half_way = look(this.start_ns.midpoint(end_ns));
            matches!(half_way.0, Fit::One(found) if found.rule == Rule::Listener)
                .then_some(half_way)
        };
        let (fit, nat) = open.map(|(_, found)| found).or_else(listening)?;
        let Fit::One(found) = fit else { return None };
        let owner = match found.holder? {
            Holder::Conversation(far) => {
                self.owner(far, time_ns.max(this.start_ns).min(this.end_ns))
            }
            Holder::Listener(_) => found.owner,
        };
        owner.map(|owner| (owner, nat))
    }

    /// The container that has an address.
    pub(super) fn container_at(
        &self,
        (proto, end): (Proto, Endpoint),
        time_ns: i64,
    ) -> Option<ContainerId> {
        match self.recordings.places.tenant(end, time_ns) {
            Tenant::One(tenure) if tenure.container.is_some() => tenure.container,
            _ => self.publications.leading_to(proto, end)?.container,
        }
    }
}
