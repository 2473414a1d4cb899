//! Conversations in 32 bytes each, as many as lives or more.

use schema::{FiveTuple, FlowKey, Kind, Proto};

use super::address::Addresses;
use super::identity::IdentityId;
use super::life::{Conversation, ConversationId, LifeId};
use super::position;

/// All conversations.
#[derive(Debug, Default)]
pub struct Conversations {
    all: Vec<Talk>,
    addresses: Addresses,
}

const IS_SRC_V4: u8 = 1;
const IS_DST_V4: u8 = 1 << 1;
const HAS_OWN: u8 = 1 << 2;

#[derive(Clone, Copy, Debug)]
struct Talk {
    opened_ns: i64,
    src: u32,
    dst: u32,
    life: LifeId,
    owner: u32,
    src_port: u16,
    dst_port: u16,
    proto: Proto,
    opened: Kind,
    has: u8,
}

impl Conversations {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The conversation `id`, which must come from here.
    #[inline]
    #[must_use]
    pub fn get(&self, id: ConversationId) -> Conversation {
        let &Talk { opened_ns, src, dst, life, owner, src_port, dst_port, proto, opened, has } =
            &self.all[position(id.0)];
        let src = self.addresses.end((src, has & IS_SRC_V4 != 0), src_port);
        let dst = self.addresses.end((dst, has & IS_DST_V4 != 0), dst_port);
        let owner = (has & HAS_OWN != 0).then_some(IdentityId(owner));
        Conversation { life, tuple: FiveTuple::new(proto, src, dst), opened, opened_ns, owner }
    }

    /// One more conversation.
    pub fn push(&mut self, conversation: &Conversation) -> ConversationId {
        let id = ConversationId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let packed = self.pack(conversation);
        self.all.push(packed);
        id
    }

    /// The socket of the conversation `id`.
    #[inline]
    #[must_use]
    pub fn life(&self, id: ConversationId) -> LifeId {
        self.all[position(id.0)].life
    }

    /// The protocol of the conversation `id`.
    #[inline]
    #[must_use]
    pub fn proto(&self, id: ConversationId) -> Proto {
        self.all[position(id.0)].proto
    }

    /// Reads of the conversation `id`, so that it is near when it is needed, without waiting for it.
    #[inline]
    pub(crate) fn touch(&self, id: ConversationId) {
        if let Some(talk) = self.all.get(position(id.0)) {
            std::hint::black_box(talk.life);
        }
    }

    /// Whether the conversation `id` has this tuple.
    #[inline]
    pub(super) fn is_between(&self, id: ConversationId, tuple: FiveTuple) -> bool {
        let &Talk { src, dst, src_port, dst_port, proto, has, .. } = &self.all[position(id.0)];
        src_port == tuple.src.port()
            && dst_port == tuple.dst.port()
            && proto == tuple.proto
            && self.addresses.is((src, has & IS_SRC_V4 != 0), tuple.src)
            && self.addresses.is((dst, has & IS_DST_V4 != 0), tuple.dst)
    }

    /// Whether the conversation `id` is of the flow `key`.
    #[inline]
    pub(crate) fn is_of(&self, id: ConversationId, key: &FlowKey) -> bool {
        let &FlowKey { proto, low, high } = key;
        self.is_between(id, FiveTuple::new(proto, low, high))
            || self.is_between(id, FiveTuple::new(proto, high, low))
    }

    /// One more row of the conversation `id`, and who talks to the peer by it.
    #[inline]
    pub(super) fn note(
        &mut self,
        id: ConversationId,
        owner: Option<IdentityId>,
        (kind, time_ns): (Kind, i64),
    ) {
        let talk = &mut self.all[position(id.0)];
        if let Some(owner) = owner.filter(|_| talk.has & HAS_OWN == 0) {
            talk.owner = owner.0;
            talk.has |= HAS_OWN;
        }
        if time_ns < talk.opened_ns {
            talk.opened_ns = time_ns;
            talk.opened = kind;
        }
    }

    /// What is known of a conversation has changed.
    pub fn set(&mut self, id: ConversationId, conversation: &Conversation) {
        self.all[position(id.0)] = self.pack(conversation);
    }

    fn pack(&mut self, conversation: &Conversation) -> Talk {
        let &Conversation { life, tuple: FiveTuple { proto, src, dst }, opened, opened_ns, owner } =
            conversation;
        let (src_port, dst_port) = (src.port(), dst.port());
        let (src, is_src_v4) = self.addresses.short(src);
        let (dst, is_dst_v4) = self.addresses.short(dst);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let has = flag(is_src_v4, IS_SRC_V4)
            | flag(is_dst_v4, IS_DST_V4)
            | flag(owner.is_some(), HAS_OWN);
        let owner = owner.map_or(0, |owner| owner.0);
        Talk { opened_ns, src, dst, life, owner, src_port, dst_port, proto, opened, has }
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Conversation> + '_ {
        self.ids().map(|id| self.get(id))
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ConversationId> + use<> {
        (0..u32::try_from(self.all.len()).unwrap_or(u32::MAX)).map(ConversationId)
    }

    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.addresses.finish();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::Endpoint;

    use super::*;

    const _: () = assert!(size_of::<Talk>() == 32);

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(|(addr, port)| Endpoint::v4(addr, port)),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(|(addr, port)| Endpoint::v6(addr, port)),
            (0..3u8, any::<u16>()).prop_map(|(last, port)| Endpoint::v6([last; 16], port)),
        ]
    }

    fn conversation() -> impl Strategy<Value = Conversation> {
        let ends = (any::<u8>(), endpoint(), endpoint());
        let kind = prop::sample::select(Kind::ALL);
        (any::<u32>(), ends, kind, any::<i64>(), prop::option::of(any::<u32>())).prop_map(
            |(life, (proto, src, dst), opened, opened_ns, owner)| Conversation {
                life: LifeId(life),
                tuple: FiveTuple::new(Proto(proto), src, dst),
                opened,
                opened_ns,
                owner: owner.map(IdentityId),
            },
        )
    }

    proptest! {
        #[test]
        fn conversations_read_back(all in prop::collection::vec(conversation(), 0..20)) {
            let mut conversations = Conversations::default();
            for (at, conversation) in all.iter().enumerate() {
                let id = conversations.push(conversation);
                prop_assert_eq!(conversations.get(id), *conversation);
                let (tuple, (key, _)) = (conversation.tuple, conversation.tuple.canonical());
                prop_assert!(conversations.is_between(id, tuple) && conversations.is_of(id, &key));
                let is_turned = conversations.is_between(id, tuple.reversed());
                prop_assert_eq!(is_turned, tuple == tuple.reversed());
                let known = (conversations.life(id), conversations.proto(id));
                prop_assert_eq!(known, (conversation.life, tuple.proto));
                conversations.set(ConversationId(0), &all[at]);
                conversations.set(ConversationId(0), &all[0]);
            }
            conversations.shrink();
            prop_assert_eq!(conversations.iter().collect::<Vec<_>>(), all);
        }
    }
}
