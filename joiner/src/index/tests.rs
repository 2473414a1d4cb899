//! The index against a brute-force model, on conversations that share their few tuples, namespaces and
//! times.

use proptest::prelude::*;
use schema::{EventDirection, FiveTuple, Kind};

use super::*;
use crate::events::{Conversation, Life};

#[derive(Clone, Copy, Debug)]
struct Socket {
    proto: Proto,
    local: Endpoint,
    remote: Endpoint,
    host: u16,
    namespace: Option<u32>,
    start_ns: i64,
    lasts_ns: i64,
    is_closed: bool,
}

fn endpoint(with_wildcard: bool) -> impl Strategy<Value = Endpoint> {
    let least = u8::from(!with_wildcard);
    (least..3, 1..3u16).prop_map(|(last, port)| match last {
        0 => Endpoint::v4([0; 4], port),
        _ => Endpoint::v4([10, 0, 0, last], port),
    })
}

fn socket() -> impl Strategy<Value = Socket> {
    let proto = prop::sample::select(vec![Proto::TCP, Proto::UDP]);
    let ends = (endpoint(true), endpoint(false));
    let place = (0..2u16, prop::option::of(0..2u32));
    let times = (0..50i64, 0..20i64, any::<bool>());
    (proto, ends, place, times).prop_map(
        |(proto, (local, remote), (host, of_host), (start_ns, lasts_ns, is_closed))| Socket {
            proto,
            local,
            remote,
            host,
            // A namespace is one host's.
            namespace: of_host.map(|namespace| 2 * namespace + u32::from(host)),
            start_ns,
            lasts_ns,
            is_closed,
        },
    )
}

fn recordings(sockets: &[Socket]) -> Recordings {
    let mut recordings = Recordings::default();
    for (cookie, socket) in (0..).zip(sockets) {
        let end_ns = socket.start_ns + socket.lasts_ns;
        let host = HostId(socket.host);
        let life = recordings.lives.push(&Life {
            namespace: socket.namespace.map(NamespaceId),
            direction: Some(EventDirection::Out),
            closed: socket.is_closed.then_some(Kind::TcpClose),
            end_ns,
            sure_ns: end_ns,
            ..Life::new(host, cookie, Kind::TcpConnect, socket.start_ns)
        });
        let conversation = Conversation {
            life,
            tuple: FiveTuple::new(socket.proto, socket.local, socket.remote),
            opened: Kind::TcpConnect,
            opened_ns: socket.start_ns,
            owner: None,
        };
        recordings.conversations.push(&conversation, &recordings.lives);
    }
    recordings
}

/// Numbers of the sockets that `is_it` picks, in the order of entries.
fn picked(sockets: &[Socket], is_it: impl Fn(&Socket) -> bool) -> Vec<u32> {
    let all = (0..).zip(sockets).filter(|(_, socket)| is_it(socket));
    let mut all: Vec<_> = all.map(|(id, of)| ((of.host, of.namespace), of.start_ns, id)).collect();
    all.sort();
    all.into_iter().map(|(.., id)| id).collect()
}

fn ids(entries: &[Entry]) -> Vec<u32> {
    entries.iter().map(|entry| entry.conversation.0).collect()
}

proptest! {
    #[test]
    fn every_flow_has_its_conversations(
        sockets in prop::collection::vec(socket(), 0..200),
        strangers in prop::collection::vec((endpoint(true), endpoint(true)), 0..10),
    ) {
        let recordings = recordings(&sockets);
        let index = Index::new(&recordings);
        let known = sockets.iter().map(|of| FiveTuple::new(of.proto, of.local, of.remote));
        let others =
            strangers.iter().map(|&(src, dst)| FiveTuple::new(Proto::TCP, src, dst));
        let tuples: Vec<FiveTuple> = known.chain(others).collect();
        let mut batch = Batch::default();
        let keys = tuples.iter().map(|tuple| tuple.canonical().0);
        index.find_all(keys, &recordings.conversations, &mut batch);
        for (tuple, together) in tuples.iter().zip(batch.found()) {
            let (key, way) = tuple.canonical();
            let found = index.find(&key, &recordings.conversations);
            prop_assert_eq!(found, *together);
            let between = |local: Endpoint, remote: Endpoint| {
                picked(&sockets, |of| {
                    (of.proto, of.local, of.remote) == (tuple.proto, local, remote)
                        && !of.local.is_unspecified()
                })
            };
            let [ours, theirs] = index.ends(found, way);
            prop_assert_eq!(ids(ours), between(tuple.src, tuple.dst));
            // What is connected to itself has one end.
            let is_own = tuple.src == tuple.dst;
            let want = if is_own { vec![] } else { between(tuple.dst, tuple.src) };
            prop_assert_eq!(ids(theirs), want);
            prop_assert_eq!(found.is_some(), !ours.is_empty() || !theirs.is_empty());
            let wild = index.wildcard(tuple.proto, tuple.src.port(), tuple.dst);
            let want = picked(&sockets, |of| {
                of.local.is_unspecified()
                    && (of.proto, of.local.port(), of.remote)
                        == (tuple.proto, tuple.src.port(), tuple.dst)
            });
            prop_assert_eq!(ids(wild), want);
        }
        // All flows are gone through, in the order of their numbers.
        let mut last = None;
        for Flow { number, up, down } in index.flows() {
            prop_assert!(last < Some(number) && (number as usize) < index.numbers());
            last = Some(number);
            let first = up.first().or(down.first()).expect("an entry").conversation;
            let (key, _) = recordings.conversation(first).tuple.canonical();
            let found = index.find(&key, &recordings.conversations).expect("indexed");
            prop_assert_eq!(found.first, number);
            let [its_up, its_down] = index.ends(Some(found), Way::Up);
            prop_assert_eq!((ids(up), ids(down)), (ids(its_up), ids(its_down)));
        }
        let of_flows: usize = index.flows().map(|flow| flow.up.len() + flow.down.len()).sum();
        let wild = sockets.iter().filter(|of| of.local.is_unspecified()).count();
        prop_assert_eq!(of_flows + wild, sockets.len());
        // What entries have to do with each other.
        for entries in index.flows().flat_map(|flow| [flow.up, flow.down]) {
            for lane in lanes(entries) {
                let mut latest_end_ns = i64::MIN;
                let nexts = lane.iter().skip(1).map(Some).chain([None]);
                for (entry, next) in lane.iter().zip(nexts) {
                    let of = sockets[entry.conversation.0 as usize];
                    let here =
                        Lane { host: HostId(of.host), namespace: of.namespace.map(NamespaceId) };
                    prop_assert_eq!(index.lane(entry.lane()), here);
                    prop_assert_eq!(entry.start_ns, of.start_ns);
                    let is_open = of.proto == Proto::TCP && !of.is_closed && of.namespace.is_some();
                    let next = next.filter(|next| is_open && next.start_ns > of.start_ns);
                    let end_ns = of.start_ns + of.lasts_ns;
                    let cut_ns = next.map_or(end_ns, |next| end_ns.min(next.start_ns - 1));
                    prop_assert_eq!(entry.end_ns, cut_ns);
                    latest_end_ns = latest_end_ns.max(entry.end_ns);
                    prop_assert_eq!(entry.latest_end_ns, latest_end_ns);
                }
            }
        }
    }
}
