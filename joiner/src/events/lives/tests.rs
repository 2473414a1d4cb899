use proptest::prelude::*;

use super::*;

const _: () = assert!(size_of::<Packed>() == 48);

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3u64, 65_534..65_538u64, 4_294_967_294..4_294_967_298u64, any::<u64>()]
}

fn life() -> impl Strategy<Value = Life> {
    let numbers = prop::collection::vec(prop::option::of(number()), 12);
    let kind = prop::sample::select(Kind::ALL);
    let direction = prop::option::of(prop::sample::select(EventDirection::ALL));
    (numbers, kind.clone(), prop::option::of(kind), direction, any::<[i64; 3]>()).prop_map(
        |(numbers, opened, closed, direction, [start_ns, end_ns, other_ns])| {
            let of = |at: usize| numbers[at].map(|number| number as u32);
            let mut texts = crate::events::Texts::default();
            Life {
                host: HostId(numbers[0].unwrap_or(0) as u16),
                socket_cookie: numbers[1].unwrap_or(0),
                namespace: of(2).map(NamespaceId),
                direction,
                opened,
                closed,
                start_ns,
                end_ns,
                sure_ns: if numbers[3].is_some() { other_ns } else { end_ns },
                owner: of(4).map(IdentityId),
                tid: of(5),
                latency_us: of(6),
                retransmits: of(7),
                bytes: numbers[8].zip(numbers[9]),
                error: if of(10).is_some() { texts.intern("E") } else { TextId::NONE },
            }
        },
    )
}

proptest! {
    #[test]
    fn lives_read_back(first in life(), second in life(), third in life()) {
        let mut lives = Lives::default();
        let ids = [&first, &second].map(|life| lives.push(life));
        prop_assert_eq!(lives.get(ids[0]), first);
        prop_assert_eq!(lives.place(ids[0]), (first.host, first.namespace));
        prop_assert_eq!(lives.opened(ids[0]), first.opened);
        prop_assert_eq!(lives.is_closed(ids[0]), first.closed.is_some());
        prop_assert_eq!(lives.owner(ids[0]), first.owner);
        for owner in first.owner.into_iter().chain([IdentityId(7)]) {
            let want = first.tid.filter(|_| first.owner == Some(owner));
            prop_assert_eq!(lives.thread_of(ids[0], owner), want);
        }
        lives.set(ids[0], &third);
        prop_assert_eq!(lives.iter().collect::<Vec<_>>(), vec![third, second]);
    }
}
