//! The fifth rule: a packet whose addresses were translated is known by another tuple elsewhere. All
//! tuples of one translated connection are its *views*: as it came, as it was sent onwards, and
//! between the two.
//!
//! ```text
//! original   client > host:4443        onward   gateway > container:8080
//! between    client > container:8080   (on the bridge, when both ends are translated)
//! ```

use hashbrown::HashMap;

use schema::{FiveTuple, FlowKey, Proto};

use super::Windows;
use crate::events::{Host, HostId, NamespaceId, Translation};
use crate::syn::{Attempt, Syn};

/// How late the row of a translation may be, nanoseconds: without kernel time stamps it tells when
/// it was read, seen up to 20 ms late.
const LATE_NS: i64 = 20_000_000;

/// How long before its row a translated connection's SYN may be, nanoseconds.
const SYN_BEFORE_NS: i64 = 1_000_000_000;

/// Translations a packet may have gone through.
const MAX_HOPS: u32 = 8;

/// Translations of one tuple looked at around a packet's time; more can only come from more
/// namespaces.
const LOOK_AROUND: usize = 64;

/// Another tuple of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The way the packet goes.
    pub(super) tuple: FiveTuple,
    /// Translations between.
    pub(super) hops: u32,
    /// In which namespace the last of them was.
    pub(super) namespace: Option<NamespaceId>,
    /// Whether no other translation may hold instead of it.
    pub(super) is_sure: bool,
    /// Whether it is known of which translation a new connection would be.
    pub(super) is_whole: bool,
}

/// A translation and from when to when it holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Since when at the earliest.
    from_ns: i64,
    /// Since when for sure: between the two a former one may hold.
    sure_ns: i64,
    to_ns: i64,
    /// Since when rows of other translations may be missing.
    lost_ns: i64,
    /// In which namespace, and as which of its views: within one, one connection at a time has it.
    lane: (HostId, Option<NamespaceId>, usize),
    translation: u32,
}

/// All translations, by every flow they make known under another tuple.
#[derive(Debug, Default)]
pub(super) struct Translations {
    all: Vec<Translation>,
    flows: HashMap<FlowKey, Vec<Held>>,
}

/// The tuples of a translated connection, the way its first packet went.
fn views(translation: &Translation) -> [FiveTuple; 3] {
    let Translation { original, onward, .. } = translation;
    let between = FiveTuple::new(original.proto, original.src, onward.dst);
    [*original, between, *onward]
}

impl Translations {
    /// The translations `all`, which come in order of time, of the connections whose SYNs are among
    /// the `attempts` of flows.
    pub(super) fn new<'a>(
        all: Vec<Translation>,
        attempts: impl Fn(&FlowKey) -> &'a [Attempt],
        windows: &Windows,
        hosts: &[Host],
    ) -> Self {
        let mut translations = Self::default();
        // Where the next translation of the same connection's tuple ends a former one.
        let mut latest: HashMap<(HostId, Option<NamespaceId>, FiveTuple), usize> = HashMap::new();
        let mut held: Vec<Held> = Vec::with_capacity(all.len());
        for (id, translation) in (0..).zip(&all) {
            let Translation { host, namespace, original, start_ns, end_ns, .. } = *translation;
            let (mut from_ns, mut sure_ns) = syns_of(translation, &attempts)
                .unwrap_or((start_ns.saturating_sub(LATE_NS), start_ns));
            let key = (host, namespace, original);
            if let Some(former) = latest.insert(key, held.len()) {
                let former: &mut Held = &mut held[former];
                // The SYN of one of the two is not in the capture.
                if sure_ns <= former.sure_ns {
                    sure_ns = start_ns;
                }
                from_ns = from_ns.max(former.from_ns);
                former.to_ns = former.to_ns.min(sure_ns - 1).max(former.from_ns);
            }
            let mut to_ns = end_ns.saturating_add(windows.after_ns);
            let lost_ns = hosts
                .get(usize::from(host.0))
                .and_then(|host| host.first_lost_translation(start_ns))
                .unwrap_or(i64::MAX);
            // No SYN tells of the next one that had the tuple, whose row may be lost.
            if original.proto == Proto::UDP {
                to_ns = to_ns.min(lost_ns);
            }
            let lane = (host, namespace, 0);
            held.push(Held { from_ns, sure_ns, to_ns, lost_ns, lane, translation: id });
        }
        for held in held {
            let keys =
                views(&all[super::position(held.translation)]).map(|view| view.canonical().0);
            for (view, &key) in keys.iter().enumerate() {
                if keys[..view].contains(&key) {
                    continue;
                }
                let (host, namespace, _) = held.lane;
                let held = Held { lane: (host, namespace, view), ..held };
                let flow = translations.flows.entry(key).or_default();
                // The first of a flow may be as old as the recording allows.
                let is_first = !flow.iter().any(|former| former.lane == held.lane);
                let start_ns = all[super::position(held.translation)].start_ns;
                let earliest = start_ns.saturating_sub(windows.before_ns);
                let since = hosts.get(usize::from(host.0)).and_then(|h| h.told_from(start_ns));
                let is_first = is_first && since.is_none_or(|since| earliest <= since);
                let earliest = earliest.min(held.from_ns);
                let from_ns = if is_first { earliest } else { held.from_ns };
                flow.push(Held { from_ns, ..held });
            }
        }
        for flow in translations.flows.values_mut() {
            flow.sort_by_key(|held| (held.from_ns, held.sure_ns));
        }
        translations.all = all;
        translations
    }

    /// Whether any translation ever made the flow `key` known under another tuple.
    pub(super) fn knows(&self, key: &FlowKey) -> bool {
        !self.flows.is_empty() && self.flows.contains_key(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The other tuples of the packet with this one, nearest first. `None` of them is `tuple`.
    pub(super) fn views(&self, tuple: FiveTuple, time_ns: i64) -> Vec<View> {
        let mut found =
            vec![View { tuple, hops: 0, namespace: None, is_sure: true, is_whole: true }];
        let mut at = 0;
        while let Some(&View { tuple, hops, .. }) = found.get(at) {
            at += 1;
            if hops >= MAX_HOPS {
                break;
            }
            let Some(flow) = self.flows.get(&tuple.canonical().0) else { continue };
            for (held, translation) in self.holding(flow, time_ns) {
                // What is told of twice is no rival of itself.
                let is_same = |(rival, other): (&Held, &Translation)| {
                    rival.lane != held.lane
                        || (other.original, other.onward)
                            == (translation.original, translation.onward)
                };
                let is_sure = self.holding(flow, time_ns).all(is_same);
                let is_whole = time_ns < held.lost_ns;
                for other in equivalents(translation, tuple) {
                    if found.iter().all(|known| known.tuple != other) {
                        let namespace = translation.namespace;
                        let hops = hops + 1;
                        found.push(View { tuple: other, hops, namespace, is_sure, is_whole });
                    }
                }
            }
        }
        found.remove(0);
        found
    }

    /// Whether an address of the packet with this tuple, that of its source or of its destination, only
    /// stands for another one, which the packet has elsewhere.
    pub(super) fn stands_in(&self, tuple: FiveTuple, is_source: bool, time_ns: i64) -> bool {
        let Some(flow) = self.flows.get(&tuple.canonical().0) else { return false };
        self.holding(flow, time_ns).any(|(_, translation)| {
            let Translation { original, onward, .. } = translation;
            let is_forward = views(translation).contains(&tuple);
            let end = if is_source { tuple.src } else { tuple.dst };
            // The opener's own address is the original source, the other's the onward destination.
            end != if is_source == is_forward { original.src } else { onward.dst }
        })
    }

    /// The latest of each namespace that holds, and what may still hold before it.
    fn holding<'a>(
        &'a self,
        flow: &'a [Held],
        time_ns: i64,
    ) -> impl Iterator<Item = (&'a Held, &'a Translation)> {
        let begun = flow.partition_point(|held| held.from_ns <= time_ns);
        let mut lanes = vec![];
        let latest = flow[..begun].iter().rev().take(LOOK_AROUND).filter(move |held| {
            let may_hold = !lanes.contains(&held.lane);
            if held.sure_ns <= time_ns {
                lanes.push(held.lane);
            }
            may_hold && time_ns <= held.to_ns
        });
        latest.map(|held| (held, &self.all[super::position(held.translation)]))
    }

    /// `syns` under every tuple of their connections: a number is not translated. Of those after
    /// `until_ns`, when nothing was recorded any more, nobody knows what became of them.
    pub(super) fn share(&self, syns: &mut Vec<Syn>, until_ns: i64) {
        if self.is_empty() {
            return;
        }
        let mut more = vec![];
        for syn in syns.iter().filter(|syn| syn.time_ns <= until_ns) {
            let views = self.views(syn.tuple, syn.time_ns);
            more.extend(views.into_iter().map(|view| Syn { tuple: view.tuple, ..*syn }));
        }
        syns.append(&mut more);
    }
}

/// When the connection's SYN was seen, under whichever of its tuples: at the earliest and at the
/// latest, where the row may be late for one of several.
fn syns_of<'a>(
    translation: &Translation,
    attempts: impl Fn(&FlowKey) -> &'a [Attempt],
) -> Option<(i64, i64)> {
    let start_ns = translation.start_ns;
    let seen = views(translation).into_iter().filter_map(|view| {
        let (key, way) = view.canonical();
        let before = attempts(&key).iter().rev().filter(|attempt| attempt.opener == way);
        let mut before = before.map(|attempt| attempt.first_ns).filter(|&syn| syn <= start_ns);
        let latest = before.next().filter(|&syn| start_ns - syn <= SYN_BEFORE_NS)?;
        let late = before.take_while(|&syn| start_ns - syn <= LATE_NS);
        Some((late.last().unwrap_or(latest), latest))
    });
    seen.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
}

/// The other tuples of a connection that is known by `tuple`, the same way.
fn equivalents(translation: &Translation, tuple: FiveTuple) -> impl Iterator<Item = FiveTuple> {
    let forward = views(translation);
    let is_forward = forward.contains(&tuple);
    let is_backward = forward.iter().any(|view| view.reversed() == tuple);
    let oriented = move |view: FiveTuple| if is_forward { view } else { view.reversed() };
    forward
        .into_iter()
        .filter(move |_| is_forward || is_backward)
        .map(oriented)
        .filter(move |view| *view != tuple)
}

/// The flows by which translated connections are known.
pub(super) fn known_flows(all: &[Translation]) -> impl Iterator<Item = FlowKey> + '_ {
    all.iter().flat_map(views).map(|view| view.canonical().0)
}

#[cfg(test)]
mod tests {
    use schema::Endpoint;

    use super::*;
    use crate::events::Conversations;
    use crate::index::Index;
    use crate::syn::{Sign, SynTable};

    const SECOND: i64 = 1_000_000_000;

    fn end(last: u8, port: u16) -> Endpoint {
        Endpoint::v4([10, 0, 0, last], port)
    }

    fn tcp(src: Endpoint, dst: Endpoint) -> FiveTuple {
        FiveTuple::new(Proto::TCP, src, dst)
    }

    fn translation(original: FiveTuple, onward: FiveTuple, start_ns: i64) -> Translation {
        let (host, namespace) = (HostId(0), None);
        Translation { host, namespace, original, onward, start_ns, end_ns: i64::MAX }
    }

    fn table(all: Vec<Translation>, mut syns: Vec<Syn>) -> Translations {
        let (index, none) = (Index::default(), Conversations::default());
        let syns = SynTable::from_unordered(&mut syns, &index, &none);
        Translations::new(all, |key| syns.attempts(None, key), &Windows::default(), &[])
    }

    fn tuples(views: &[View]) -> Vec<FiveTuple> {
        views.iter().map(|view| view.tuple).collect()
    }

    #[test]
    fn every_view_leads_to_every_other_both_ways() {
        let original = tcp(end(1, 50), end(2, 4443));
        let onward = tcp(end(9, 51), end(3, 8080));
        let between = tcp(end(1, 50), end(3, 8080));
        let table = table(vec![translation(original, onward, 100 * SECOND)], vec![]);
        for (view, others) in [
            (original, [between, onward]),
            (between, [original, onward]),
            (onward, [original, between]),
        ] {
            assert_eq!(tuples(&table.views(view, 101 * SECOND)), others);
            let back = tuples(&table.views(view.reversed(), 101 * SECOND));
            assert_eq!(back, others.map(FiveTuple::reversed));
        }
        assert_eq!(table.views(tcp(end(1, 51), end(2, 4443)), 101 * SECOND), []);
        assert_eq!(table.views(original, 94 * SECOND), [], "before --before");
    }

    #[test]
    fn a_later_translation_of_a_tuple_ends_the_former_at_its_own_syn() {
        let original = tcp(end(1, 50), end(2, 80));
        let [first, second] = [3, 4].map(|backend| tcp(end(1, 50), end(backend, 80)));
        let all = vec![
            translation(original, first, 100 * SECOND),
            translation(original, second, 200 * SECOND),
        ];
        let syn = |time_ns, seq| Syn { tuple: original, time_ns, seq, sign: Sign::Syn };
        let table = table(all, vec![syn(99 * SECOND, 1), syn(199_500_000_000, 2)]);
        let at = |time_ns| tuples(&table.views(original, time_ns));
        assert_eq!(at(199_400_000_000), [first]);
        assert_eq!(at(199_500_000_000), [second]);
        // Nothing of the first any more.
        assert_eq!(table.views(first, 199_600_000_000), []);
    }

    #[test]
    fn without_a_syn_a_row_is_up_to_20_ms_late() {
        let original = tcp(end(1, 50), end(2, 80));
        let [first, second] = [3, 4].map(|backend| tcp(end(1, 50), end(backend, 80)));
        let all = vec![
            translation(original, first, 100 * SECOND),
            translation(original, second, 200 * SECOND),
        ];
        let table = table(all, vec![]);
        let at = |time_ns| tuples(&table.views(original, time_ns));
        assert_eq!(at(199_979_000_000), [first]);
        assert_eq!(at(199_981_000_000), [second, first], "nobody knows");
        assert_eq!(at(200_000_000_000), [second]);
    }

    #[test]
    fn chains_are_followed_and_loops_end() {
        let hop = |n: u8| tcp(end(1, 50), end(n, 80));
        let mut all: Vec<_> =
            (2..30).map(|n| translation(hop(n), hop(n + 1), 100 * SECOND)).collect();
        all.push(translation(hop(30), hop(2), 100 * SECOND));
        let found = table(all, vec![]).views(hop(2), 101 * SECOND);
        // Eight hops each way round.
        assert_eq!(found.len(), 16);
        assert_eq!(found.iter().map(|view| view.hops).max(), Some(MAX_HOPS));
    }
}
