//! Conversations in 20 bytes each, as many as lives or more.

use schema::{FiveTuple, FlowKey, Kind, Proto};

use super::address::Addresses;
use super::identity::IdentityId;
use super::life::{Conversation, ConversationId, LifeId};
use super::lives::Lives;
use super::position;

/// All conversations.
#[derive(Debug, Default)]
pub struct Conversations {
    all: Vec<Talk>,
    more: Vec<More>,
    addresses: Addresses,
}

const IS_SRC_V4: u8 = 1;
const IS_DST_V4: u8 = 1 << 1;
/// There is [`More`] of it.
const HAS_MORE: u8 = 1 << 2;
/// Where the number of its first row's kind stands.
const OPENED: u8 = 3;

const _: () = assert!(Kind::ALL.len() <= 1 << (u8::BITS - 3), "every kind has its number");

#[derive(Clone, Copy, Debug)]
struct Talk {
    src: u32,
    dst: u32,
    /// The life; the position of the rest, if there is [`More`].
    life: u32,
    src_port: u16,
    dst_port: u16,
    proto: Proto,
    has: u8,
}

/// Of those that did not begin with their life, as a connection does, and those with an owner.
#[derive(Clone, Copy, Debug)]
struct More {
    opened_ns: i64,
    life: LifeId,
    owner: u32,
}

/// Instead of an owner: none. No recording has so many.
const NO_OWNER: u32 = u32::MAX;

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

    /// The conversation `id`, which must come from here; its life is one of `lives`.
    #[inline]
    #[must_use]
    pub fn get(&self, id: ConversationId, lives: &Lives) -> Conversation {
        let talk = &self.all[position(id.0)];
        let tuple = self.tuple(id);
        let opened = opened(talk.has);
        match self.more(talk) {
            Some(&More { opened_ns, life, owner }) => {
                let owner = (owner != NO_OWNER).then_some(IdentityId(owner));
                Conversation { life, tuple, opened, opened_ns, owner }
            }
            None => {
                let life = LifeId(talk.life);
                let opened_ns = lives.start_ns(life);
                Conversation { life, tuple, opened, opened_ns, owner: None }
            }
        }
    }

    /// Both ends of the conversation `id`.
    #[inline]
    #[must_use]
    pub fn tuple(&self, id: ConversationId) -> FiveTuple {
        let &Talk { src, dst, src_port, dst_port, proto, has, .. } = &self.all[position(id.0)];
        let src = self.addresses.end((src, has & IS_SRC_V4 != 0), src_port);
        let dst = self.addresses.end((dst, has & IS_DST_V4 != 0), dst_port);
        FiveTuple::new(proto, src, dst)
    }

    /// One more conversation, whose life is one of `lives`.
    pub fn push(&mut self, conversation: &Conversation, lives: &Lives) -> ConversationId {
        let id = ConversationId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let packed = self.pack(conversation, lives);
        self.all.push(packed);
        id
    }

    /// The socket of the conversation `id`.
    #[inline]
    #[must_use]
    pub fn life(&self, id: ConversationId) -> LifeId {
        let talk = &self.all[position(id.0)];
        self.more(talk).map_or(LifeId(talk.life), |more| more.life)
    }

    #[inline]
    fn more(&self, talk: &Talk) -> Option<&More> {
        (talk.has & HAS_MORE != 0).then(|| &self.more[position(talk.life)])
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

    /// One more row of the conversation `id`, and who talks to the peer by it. The conversation's life
    /// knows of the row already.
    #[inline]
    pub(super) fn note(
        &mut self,
        id: ConversationId,
        owner: Option<IdentityId>,
        (kind, time_ns): (Kind, i64),
        lives: &Lives,
    ) {
        // One that began with its life did so before every other row.
        if owner.is_none() && self.all[position(id.0)].has & HAS_MORE == 0 {
            return;
        }
        let opened_ns = lives.start_ns(self.life(id));
        self.detach(id, opened_ns);
        let talk = &mut self.all[position(id.0)];
        let more = &mut self.more[position(talk.life)];
        if let Some(owner) = owner.filter(|_| more.owner == NO_OWNER) {
            more.owner = owner.0;
        }
        if time_ns < more.opened_ns {
            more.opened_ns = time_ns;
            talk.has = talk.has & !(u8::MAX << OPENED) | (kind as u8) << OPENED;
        }
    }

    /// The conversation `id` began at `start_ns`, as its life did, and does so wherever that begins.
    #[inline]
    pub(super) fn detach(&mut self, id: ConversationId, start_ns: i64) {
        let talk = &mut self.all[position(id.0)];
        if talk.has & HAS_MORE == 0 {
            let more = More { opened_ns: start_ns, life: LifeId(talk.life), owner: NO_OWNER };
            talk.life = u32::try_from(self.more.len()).unwrap_or(u32::MAX);
            talk.has |= HAS_MORE;
            self.more.push(more);
        }
    }

    /// Moves the times of those whose life is one of them by what `moved` makes of them. Others begin
    /// with their life, wherever that is moved.
    pub(super) fn shift(&mut self, is_it: impl Fn(LifeId) -> bool, moved: impl Fn(i64) -> i64) {
        for more in self.more.iter_mut().filter(|more| is_it(more.life)) {
            more.opened_ns = moved(more.opened_ns);
        }
    }

    fn pack(&mut self, conversation: &Conversation, lives: &Lives) -> Talk {
        let &Conversation { life, tuple: FiveTuple { proto, src, dst }, opened, opened_ns, owner } =
            conversation;
        let (src_port, dst_port) = (src.port(), dst.port());
        let (src, is_src_v4) = self.addresses.short(src);
        let (dst, is_dst_v4) = self.addresses.short(dst);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let has =
            flag(is_src_v4, IS_SRC_V4) | flag(is_dst_v4, IS_DST_V4) | (opened as u8) << OPENED;
        let mut talk = Talk { src, dst, life: life.0, src_port, dst_port, proto, has };
        if owner.is_some() || opened_ns != lives.start_ns(life) {
            let owner = owner.map_or(NO_OWNER, |owner| owner.0);
            talk.life = u32::try_from(self.more.len()).unwrap_or(u32::MAX);
            talk.has |= HAS_MORE;
            self.more.push(More { opened_ns, life, owner });
        }
        talk
    }

    /// All, in order.
    pub fn iter<'a>(
        &'a self,
        lives: &'a Lives,
    ) -> impl ExactSizeIterator<Item = Conversation> + 'a {
        self.ids().map(|id| self.get(id, lives))
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ConversationId> + use<> {
        (0..u32::try_from(self.all.len()).unwrap_or(u32::MAX)).map(ConversationId)
    }

    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.more.shrink_to_fit();
        self.addresses.finish();
    }
}

/// The kind of the row that first named the peer.
#[inline]
fn opened(has: u8) -> Kind {
    // As it was packed.
    Kind::ALL.get(usize::from(has >> OPENED)).copied().unwrap_or(Kind::Socket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::Endpoint;

    use super::*;
    use crate::events::{HostId, Life};

    const _: () = assert!(size_of::<Talk>() == 20 && size_of::<More>() == 16);

    /// Lives that begin at these times.
    fn lives(starts: &[i64]) -> Lives {
        let mut lives = Lives::default();
        for &start_ns in starts {
            lives.push(&Life::new(HostId(0), 1, Kind::TcpConnect, start_ns));
        }
        lives
    }

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
        (0..3_u32, ends, kind, 0..3_i64, prop::option::of(0..9_u32)).prop_map(
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
            let lives = lives(&[0, 1, 2]);
            let mut conversations = Conversations::default();
            for conversation in &all {
                let id = conversations.push(conversation, &lives);
                prop_assert_eq!(conversations.get(id, &lives), *conversation);
                let (tuple, (key, _)) = (conversation.tuple, conversation.tuple.canonical());
                prop_assert!(conversations.is_between(id, tuple) && conversations.is_of(id, &key));
                let is_turned = conversations.is_between(id, tuple.reversed());
                prop_assert_eq!(is_turned, tuple == tuple.reversed());
                let known = (conversations.life(id), conversations.proto(id));
                prop_assert_eq!(known, (conversation.life, tuple.proto));
            }
            conversations.shrink();
            prop_assert_eq!(conversations.iter(&lives).collect::<Vec<_>>(), all);
        }

        /// Rows in any order: the earliest one opened it, the first owner named is its owner, and a
        /// life that begins earlier changes nothing.
        #[test]
        fn rows_may_come_in_any_order(
            first in conversation(),
            rows in prop::collection::vec(
                (0..3_i64, prop::option::of(0..9_u32), prop::sample::select(Kind::ALL)), 0..6),
            earlier in any::<bool>(),
        ) {
            // A life begins no later than its conversations.
            let mut lives = lives(&[first.opened_ns; 3]);
            let mut conversations = Conversations::default();
            let mut want = first;
            let id = conversations.push(&first, &lives);
            if earlier {
                conversations.detach(id, lives.start_ns(first.life));
                lives.update(first.life, |life| life.start_ns = -1);
            }
            for (time_ns, owner, kind) in rows {
                let time_ns = if earlier { time_ns } else { time_ns.max(first.opened_ns) };
                let owner = owner.map(IdentityId);
                conversations.note(id, owner, (kind, time_ns), &lives);
                want.owner = want.owner.or(owner);
                if time_ns < want.opened_ns {
                    (want.opened_ns, want.opened) = (time_ns, kind);
                }
            }
            prop_assert_eq!(conversations.get(id, &lives), want);
            conversations.shift(|life| life == first.life, |ns| ns + 7);
            lives.update(first.life, |life| life.start_ns += 7);
            want.opened_ns += 7;
            prop_assert_eq!(conversations.get(id, &lives), want);
        }
    }
}
