//! Rules 1 to 3 of DESIGN §5 for one tuple in one namespace: which lives fit a packet there.

use super::lives::{Life, Told};
use super::syns::{Syn, own_syns};
use super::world::{MS, Packet, SECOND, Us};

/// `--before` and `--after`, as they are when nobody says otherwise.
pub(super) const BEFORE: Us = 5 * SECOND;
pub(super) const AFTER: Us = 60 * SECOND;
/// "0.2 s for datagrams sent by the local end of a UDP socket".
const AFTER_UDP: Us = 200 * MS;

/// A life that a packet may be of, and what the match is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit<'a> {
    pub(super) life: &'a Life,
    pub(super) label: &'static str,
}

/// What fits in one namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane<'a> {
    pub(super) fits: Vec<Fit<'a>>,
    /// DESIGN, or what the files hold, leaves it open: no name is as good as one of these.
    pub(super) is_open: bool,
    /// What is called late may as well be called exact.
    pub(super) also_exact: bool,
}

impl<'a> Lane<'a> {
    fn add(&mut self, life: &'a Life, label: &'static str) {
        self.fits.push(Fit { life, label });
    }

    /// "The best label wins", where nothing is open.
    fn best(mut self) -> Self {
        if !self.is_open {
            for label in ["exact", "early", "late"] {
                if self.fits.iter().any(|fit| fit.label == label) {
                    self.fits.retain(|fit| fit.label == label);
                }
            }
        }
        self
    }
}

/// Lives of TCP: `lane` in order of their beginnings. `is_out`: the packet was sent by the local end.
pub(super) fn tcp<'a>(
    told: &Told<'_>,
    lane: &[&'a Life],
    syns: &[Syn],
    packet: &Packet,
    is_out: bool,
) -> Lane<'a> {
    let at = packet.at;
    let (start, end) = told.world.recorded;
    let owns = own_syns(lane, syns);
    let (local, remote) = if is_out { (packet.src, packet.dst) } else { (packet.dst, packet.src) };
    let forms = told.forms((local, remote));
    // The lives of a lane have one address; so may other namespaces.
    let twins = lane.first().is_some_and(|life| told.owners_of(life.local).len() > 1);
    let mut found = Lane::default();
    for (n, &life) in lane.iter().enumerate() {
        let next = lane.get(n + 1);
        let previous = n.checked_sub(1).map(|n| lane[n]);
        let own = owns[n].as_ref();
        // Open point: "the life's own SYN" may be missing, and an older one be taken for it.
        let sure = |own: &Syn| {
            let is_formers =
                previous.and_then(|former| former.close).is_some_and(|close| own.first <= close);
            // One that sends its SYN later has not had it answered.
            let sends = syns
                .iter()
                .any(|syn| life.first_kind == "socket" && syn.is_out && life.was_open(syn.first));
            life.first_kind == "tcp_connect"
                || (own.is_surely_of(life, told.world, &forms) && !is_formers && !sends)
        };
        found.is_open |= own.is_some_and(|own| life.first > at && own.first <= at && !sure(own));
        let is_over = life.close.is_some_and(|close| close < at);
        let has_begun = life.first <= at;
        // A close that was lost: two lives of one tuple can't be in one namespace at once.
        let is_replaced = next.is_some_and(|next| next.first <= at);
        if packet.flags == "S" {
            let number = (packet.seq, is_out);
            if own.is_some_and(|own| (own.seq, own.is_out) == number) {
                found.is_open |= life.first_kind == "socket" && twins;
                // Open points: of twins, whose a SYN is that comes long after the row; and whose it is
                // when rows were lost since.
                found.is_open |= twins && at > life.first + SECOND / 2;
                found.is_open |= at > end || told.lost_within(at, life.first);
                found.is_open |= !life.seen_from(at) && told.lost_within(life.last_row(at), at);
                let label = if !has_begun {
                    "early"
                } else if is_over || at > end {
                    "late"
                } else {
                    "exact"
                };
                found.add(life, label);
                found.also_exact |= at > end;
            } else if has_begun && !is_over {
                // Open points: a simultaneous open, where "the next life" is this one; a socket that
                // was connecting when the recording began, and whose first SYNs were not captured; the
                // socket that is there still, and will answer; of twins, whose SYN is whose.
                let simultaneous = life.first_kind == "tcp_connect" && !is_out;
                let is_there = life.first_kind != "tcp_connect" && !is_out;
                if simultaneous
                    || is_there
                    || (is_out && (life.first_kind != "tcp_connect" || twins))
                {
                    found.add(life, "exact");
                    found.is_open = true;
                }
            }
            continue;
        }
        // The next connection's SYN, if it is seen.
        let opens = |syn: &&Syn| {
            let other_way = (life.first_kind == "tcp_connect") != syn.is_out;
            let simultaneous = other_way
                && life.close.is_none_or(|close| syn.first < close)
                && syn.first < life.first + SECOND;
            Some(*syn) != own && syn.first > life.first && !simultaneous
        };
        let newer = syns.iter().filter(opens).filter(|newer| newer.first <= at);
        let newer: Vec<_> = newer.collect();
        let has_answered = |newer: &&Syn| newer.answered.is_some_and(|answered| answered <= at);
        let is_past = newer.iter().any(has_answered);
        // Open point: what goes the SYN's way after it, and before its answer.
        let is_doubtful = newer.iter().any(|newer| newer.is_out == is_out)
            // So is a reset that answers the SYN: nobody is there, or the old socket.
            || (!newer.is_empty() && packet.flags.contains('R'))
            // One with the number 0 answers a SYN, whether that was captured or not.
            || (packet.flags == "R." && packet.seq == 0)
            || (packet.flags.contains('R') && syns.iter().any(|syn| syn.is_out != is_out));
        // One whose close is told later is there, whatever its own SYN was; and where its own is not
        // known, another's may be it.
        if is_past
            && own.is_some()
            && life.first_kind != "socket"
            && life.close.is_none_or(|close| close < at)
        {
            continue;
        }
        found.is_open |= is_past;
        if has_begun && !is_over && !is_replaced {
            if at <= end {
                found.add(life, "exact");
            } else if at <= end + AFTER {
                // Open point: what a life that goes on after the recording is called.
                found.add(life, "late");
                found.also_exact = true;
            }
            // Of twins nobody knows whose connection one of after the recording is; nor what a SYN since
            // then became.
            let is_after = at > end && (twins || !newer.is_empty() || own.is_none());
            let is_lost =
                is_after || !life.seen_from(at) && told.lost_within(life.last_row(at), at);
            found.is_open |= is_doubtful || is_lost;
        } else if is_over && at <= life.close.unwrap_or(at) + AFTER && !is_replaced {
            found.add(life, "late");
            // Open point: after the recording nobody knows whether another one has the tuple.
            let lost = told.lost_within(life.close.unwrap_or(at), at);
            // Open point: of twins, whose the SYNs since then are.
            found.is_open |= is_doubtful || lost || at > end || twins;
            // Open points: a bare reset may be the answer to anything; what comes just before the next life
            // may be of it, where its SYN is missing.
            let soon = next.is_some_and(|next| next.first <= at + BEFORE);
            let unseen = lane.get(n + 1).is_some() && owns[n + 1].is_none();
            found.is_open |= packet.flags == "R" || (soon && unseen);
        } else if !has_begun {
            let floor = match own {
                Some(own) => own.first,
                None => previous
                    .and_then(|previous| previous.close)
                    .unwrap_or(Us::MIN)
                    .max(life.first - BEFORE),
            };
            if at < floor {
                continue;
            }
            found.add(life, "early");
            // Without the SYN nothing tells where the former connection ended; and before the SYN's
            // answer "packets the other way belong to the old life".
            let unanswered = own.is_some_and(|own| {
                own.is_out != is_out && own.answered.is_none_or(|answered| at < answered)
            });
            let lacks_former = (at < start + SECOND && life.first_kind != "socket")
                || told.lost_within(Us::MIN, at);
            // Before its answer the SYN's sender may be resetting the old life.
            let resets = packet.flags == "R"
                && own.is_some_and(|own| own.answered.is_none_or(|answered| at < answered));
            // Open point: whether what closes until the life is told of is the same connection.
            let is_its = |src, dst| forms.contains(&(src, dst)) || forms.contains(&(dst, src));
            let closes = told.world.packets.iter().any(|packet| {
                (at - SECOND..life.first).contains(&packet.at)
                    && packet.flags.contains(['F', 'R'])
                    && is_its(packet.src, packet.dst)
            });
            found.is_open |= (previous.is_some() && own.is_none())
                || closes
                || unanswered
                || resets
                || (own.is_none() && lacks_former)
                || is_doubtful
                // Open point: which of twins' the SYN of before the recording is.
                || (life.first_kind == "socket" && twins)
                || told.lost_within(at, life.first);
        }
    }
    // Open point: whether the listener's process is believed where the row of the one that took over
    // may have been lost.
    let doubts = |fit: &Fit<'_>| {
        let lost = told.lost_within(fit.life.first, fit.life.close.unwrap_or(end));
        // It may have been taken over after the recording.
        fit.life.is_inherited() && (lost || fit.life.close.is_none())
    };
    found.is_open |= found.fits.iter().any(doubts);
    found.best()
}

/// Lives of UDP. `lane`: all whose local end is, or includes, the packet's; `peer` is its other end.
pub(super) fn udp<'a>(
    told: &Told<'_>,
    lane: &[&'a Life],
    peer: std::net::SocketAddrV4,
    at: Us,
    is_out: bool,
) -> Lane<'a> {
    let (_, end) = told.world.recorded;
    let mut found = Lane::default();
    let is_open =
        |life: &Life| life.first <= at && life.close.is_none_or(|close| at <= close) && at <= end;
    let open: Vec<_> = lane.iter().copied().filter(|life| is_open(life)).collect();
    let connected: Vec<_> = open.iter().copied().filter(|life| life.remote == Some(peer)).collect();
    // The kernel prefers a connected socket, then one bound to the address, then any.
    let unconnected = || open.iter().copied().filter(|life| life.remote.is_none());
    let specific: Vec<_> = unconnected().filter(|life| !life.local.ip().is_unspecified()).collect();
    let best = if !connected.is_empty() {
        connected
    } else if !specific.is_empty() {
        specific
    } else {
        unconnected().collect()
    };
    // Open point: after a loss a port may be shared, or another one's, for all that is known.
    let lost = |life: &&&Life| told.lost_within(life.first, at);
    found.is_open = open.iter().any(|life| lost(&life));
    let fitting = if found.is_open { open } else { best };
    for life in fitting {
        // Open point: from when on, and how far, a peer that a row tells is "this tuple".
        if life.remote.is_some() || life.peers.iter().any(|(_, known)| *known == peer) {
            found.add(life, "exact");
        }
        if life.remote.is_none() {
            found.add(life, "listener");
        }
    }
    if found.fits.is_empty() || found.is_open {
        for &life in lane.iter().filter(|life| life.remote.is_none_or(|remote| remote == peer)) {
            let is_early = at < life.first && at >= life.first - BEFORE;
            let is_late = life.close.is_some_and(|close| close < at && at <= close + AFTER_UDP);
            let goes_on = life.close.is_none() && at > end && at <= end + AFTER;
            if is_out && (is_early || is_late) || goes_on {
                let label = if is_early { "early" } else { "late" };
                ["exact", "listener", label].iter().for_each(|label| found.add(life, label));
                // Open point: a socket that nobody told of may have had the port before.
                found.is_open = true;
            }
        }
    }
    found
}
