//! For how long a decision holds. Most packets lie well within a connection that nothing else touches:
//! what was decided of one of them is so of all between two moments, wherever they were captured. Here
//! is told between which, or that it can't be told simply; then each packet is decided by itself.

use std::ops::RangeInclusive;

use schema::annotation::{Match, Reason};
use schema::flow::Way;
use schema::{Endpoint, FlowKey, Proto};

use super::verdict::{Holder, SideVerdict, Verdict, Via};
use super::{Matcher, reason};
use crate::events::ConversationId;
use crate::index::{Entry, Found};

/// Times at which a decision holds, nanoseconds since 1970.
pub type Span = RangeInclusive<i64>;

impl Matcher {
    /// When `verdict`, which was reached about a plain packet that goes `way` in flow `key` at
    /// `time_ns`, is reached about every plain packet of the kind. `None` if that depends on more. The
    /// conversations of the flow are at `place`.
    pub(crate) fn settled(
        &self,
        (key, way): (&FlowKey, Way),
        place: Option<Found>,
        time_ns: i64,
        verdict: &Verdict,
    ) -> Option<Span> {
        let tuple = key.tuple(way);
        let [senders, receivers] =
            place.map_or([&[][..]; 2], |place| self.index.flow(place).ends(way));
        let src = self.settled_side(senders, (key, tuple.src, tuple.dst), time_ns, &verdict.src)?;
        let dst =
            self.settled_side(receivers, (key, tuple.dst, tuple.src), time_ns, &verdict.dst)?;
        let (from, to) = (*src.start().max(dst.start()), *src.end().min(dst.end()));
        (from..=to).contains(&time_ns).then_some(from..=to)
    }

    fn settled_side(
        &self,
        entries: &[Entry],
        (key, local, remote): (&FlowKey, Endpoint, Endpoint),
        time_ns: i64,
        verdict: &SideVerdict,
    ) -> Option<Span> {
        match *verdict {
            SideVerdict::Named {
                holder: Holder::Conversation(id),
                owner,
                found: Match::EXACT,
                via: Via::Nobody,
            } => {
                let open = self.open_alone(entries, id, time_ns)?;
                let life = self.recordings.conversations.life(id);
                let is_kept = !self.handed_over.has(life);
                // As it was called when it opened the socket.
                let opener = self.owner(id, time_ns)?;
                let forwards = !self.proxies.is_empty()
                    && self.proxies.behind(&self.recordings, life, opener).is_some();
                let process = self.recordings.identity(owner).proc;
                let same = self.recordings.programs.same(process, time_ns);
                let from = *open.start().max(same.start()).max(&self.sure_from(id));
                let to = *open.end().min(same.end());
                (is_kept && !forwards).then_some(from..=to)
            }
            SideVerdict::Unnamed(Reason::Remote | Reason::NoSocket)
                if entries.is_empty() && self.is_nobodys(key, local, remote) =>
            {
                Some(reason::constant(&self.recordings.hosts, local, time_ns))
            }
            _ => None,
        }
    }

    /// When the conversation `id` alone is open of `entries`; `None` unless they are all in one
    /// namespace that no place tells apart from others.
    fn open_alone(&self, entries: &[Entry], id: ConversationId, time_ns: i64) -> Option<Span> {
        let (first, last) = (entries.first()?, entries.last()?);
        if first.lane() != last.lane() || first.is_contested() {
            return None;
        }
        let begun = entries.partition_point(|entry| entry.start_ns <= time_ns);
        let (entry, before) = entries[..begun].split_last()?;
        if entry.conversation != id {
            return None;
        }
        let after_others =
            before.last().map_or(i64::MIN, |other| other.latest_end_ns.saturating_add(1));
        let before_next =
            entries.get(begun).map_or(i64::MAX, |next| next.start_ns.saturating_sub(1));
        let before_taken =
            self.own_syns.superseded_from(id).map_or(i64::MAX, |from| from.saturating_sub(1));
        let to = entry.end_ns.min(before_next).min(before_taken);
        Some(entry.start_ns.max(after_others)..=to)
    }

    /// Whether no rule but those of lives could find anybody at the end `local`, at any time.
    fn is_nobodys(&self, key: &FlowKey, local: Endpoint, remote: Endpoint) -> bool {
        let proto = key.proto;
        let is_bound =
            proto == Proto::UDP && !self.index.wildcard(proto, local.port(), remote).is_empty();
        !is_bound
            && !self.translations.knows(key)
            && (self.publications.is_empty() || !self.publications.knows(key.tuple(Way::Up)))
            && !self.listeners.may_have(&self.recordings, proto, local)
    }
}
