//! The third rule: the last of a connection, or of a socket, after its close.

use schema::Kind;
use schema::annotation::Rule;

use super::{Choice, End, LaneFit, acks};
use crate::attribute::own_syn::Whose;
use crate::decode::Tcp;
use crate::events::{ConversationId, IdentityId, Life};
use crate::index::Entry;
use crate::syn::Attempt;

/// Whether a packet after a life can be the last of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Yes,
    /// Nobody knows.
    Perhaps,
    No,
}

/// With so many bytes, numbers that are chosen at random lie within a connection too often: one in 256.
const TELLING_BYTES: u64 = 1 << 24;

/// Where a packet lies in what the opener of a connection sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Within,
    Outside,
    Unknown,
}

impl End<'_> {
    /// Whether the last life that began may still be open, its close having been lost.
    pub(super) fn may_go_on(&self, is_over: impl Fn(&Entry) -> bool, time_ns: i64) -> bool {
        let last = self.begun(time_ns).last().filter(|entry| !is_over(entry));
        last.is_some_and(|entry| {
            let life = self.life(entry);
            time_ns <= life.end_ns && !life.is_sure(time_ns)
        })
    }

    /// Where a packet lies by the kernel's count of what the opener of the connection of `life` sent: its
    /// SYN has one number, its FIN another.
    fn stream(&self, tcp: &Tcp, life: &Life, own: &Attempt) -> Stream {
        let is_opener = (own.opener == self.way) == self.sent;
        let bytes = life.bytes.map(|(sent, received)| if is_opener { sent } else { received });
        let Some(bytes) = bytes.filter(|&bytes| bytes < TELLING_BYTES) else {
            return Stream::Unknown;
        };
        let number = match own.opener == self.way {
            true => tcp.seq,
            false if tcp.flags & Tcp::ACK != 0 => tcp.ack,
            false => return Stream::Unknown,
        };
        let is_within = u64::from(number.wrapping_sub(own.seq)) <= bytes + 2;
        if is_within { Stream::Within } else { Stream::Outside }
    }

    /// The last of a former life; if it is only to be doubted whether it is (`may_be`), also where that
    /// can't be known. A packet that `opens` names an attempt which is none of the lives'.
    pub(super) fn late_tcp<F>(
        &self,
        (tcp, opens): (&Tcp, bool),
        time_ns: i64,
        may_be: bool,
        choice: &mut Choice<F>,
    ) where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        let not_superseded = |entry: &Entry| {
            let own = self.own_syns.of(entry.conversation);
            let life = self.life(entry);
            let host = self.recordings.host(life.host);
            // Since rows were lost nobody knows whether it is over at all.
            if life.end_ns >= time_ns {
                return if opens { Speaks::No } else { Speaks::Perhaps };
            }
            // Of a connection since the recording no row tells.
            if life.closed.is_some()
                && host.told_until(entry.end_ns).is_some_and(|until| until < time_ns)
            {
                return Speaks::No;
            }
            // Of several namespaces' its own is not known so surely, nor of one that was there before: that
            // a number lies outside of it says nothing then.
            let is_sure = !entry.is_contested() && life.opened != Kind::Socket;
            match own.map(|own| self.stream(tcp, &life, &self.attempts[own])) {
                Some(Stream::Within) => {}
                Some(Stream::Outside) if is_sure => return Speaks::No,
                // Of one since then neither a row nor a SYN need be there.
                _ if host.lost_between(entry.end_ns, time_ns) => {
                    return if may_be { Speaks::Perhaps } else { Speaks::No };
                }
                _ => {}
            }
            let since = |position: usize, attempt: &Attempt| match own {
                Some(own) => position > own,
                None => attempt.first_ns > entry.start_ns,
            };
            let newer = self.seen_attempts(time_ns).iter().enumerate().rev();
            let newer = newer.take_while(|&(position, attempt)| since(position, attempt));
            // Those of the same tuple elsewhere say nothing of this one.
            let whose = |position| self.own_syns.whose(self.key, position, entry.lane());
            let mut ours = newer.clone().filter(|&(at, _)| whose(at) == Whose::Ours).peekable();
            if ours.peek().is_none() {
                let mut unknown = newer.filter(|&(at, _)| whose(at) == Whose::Unknown);
                return if unknown.next().is_some() { Speaks::Perhaps } else { Speaks::Yes };
            }
            // The other way, the old socket speaks until the new one answers. The end that sent the
            // SYN has none any more.
            let is_unanswered = |attempt: &Attempt| {
                attempt.opener != self.way
                    && attempt.answered_ns.is_none_or(|answered| time_ns < answered)
                    && !acks(tcp, attempt)
            };
            let speaks = self.sent && ours.all(|(_, attempt)| is_unanswered(attempt));
            if speaks { Speaks::Yes } else { Speaks::No }
        };
        self.late(time_ns, self.windows.after_ns, not_superseded, choice);
    }

    fn late<F>(
        &self,
        time_ns: i64,
        after_ns: i64,
        speaks: impl Fn(&Entry) -> Speaks,
        choice: &mut Choice<F>,
    ) where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        let latest_start = self.begun(time_ns).last().map_or(i64::MIN, |entry| entry.start_ns);
        for entry in self.reaching(time_ns, after_ns) {
            let is_over = entry.end_ns < time_ns && time_ns - entry.end_ns <= after_ns;
            let is_followed = latest_start > entry.end_ns;
            if !is_over || is_followed {
                continue;
            }
            match speaks(entry) {
                Speaks::Yes => choice.add(entry, Rule::Late),
                Speaks::Perhaps => choice.fit = LaneFit::Several(Rule::Late),
                Speaks::No => {}
            }
        }
    }

    /// The last datagrams of a socket that was closed.
    pub(super) fn late_udp<F>(&self, time_ns: i64, choice: &mut Choice<F>)
    where
        F: Fn(ConversationId) -> Option<IdentityId>,
    {
        let is_last = |entry: &Entry| {
            let life = self.life(entry);
            let host = self.recordings.host(life.host);
            let is_last = life.closed.is_some()
                && host.is_recorded(time_ns)
                && !host.lost_between(entry.end_ns, time_ns);
            if is_last { Speaks::Yes } else { Speaks::No }
        };
        self.late(time_ns, self.windows.after_udp_ns, is_last, choice);
    }
}
