//! A matcher by brute force: what the design says of matching and translations, as plainly as it can
//! be written, without an index and without a thought for speed. The real program must say the same.
//!
//! It shares no code with the program, but was not written in ignorance of it: where the design leaves
//! room, and where rows were lost, it follows the program's decisions.
//!
//! It knows one host, and neither proxies, publishing tables, ICMP, fragments nor clocks: those have
//! scenarios of their own.

pub(crate) mod life;
pub(crate) mod translation;
pub(crate) mod world;

use std::net::SocketAddr;

use self::life::{Attempt, Life};
use self::translation::{Translation, View};
use self::world::{Load, Packet, Row, Tuple};

/// How long a recording is.
pub(crate) const END_MS: i64 = 100_000;
/// How far a life reaches back without a SYN, how long the kernel speaks for a closed one, and by how
/// much clocks may differ.
const BEFORE_MS: i64 = 5_000;
const AFTER_MS: i64 = 60_000;
const SLACK_MS: i64 = 200;
/// A `lost` row tells of the second before it.
const LOSS_MS: i64 = 1_000;

/// A rule, in order of certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Exact,
    Early,
    Late,
    Listener,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Early => "early",
            Self::Late => "late",
            Self::Listener => "listener",
        }
    }
}

/// What fits one end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fit {
    Nobody,
    Several,
    One(String, Rule),
}

/// What fits in one namespace.
#[derive(Clone, Debug)]
struct Found {
    netns: u64,
    owner: Option<String>,
    rule: Rule,
}

/// One end of a packet, by one of the tuples it is known by.
#[derive(Clone, Copy, Debug)]
struct End {
    local: SocketAddr,
    remote: SocketAddr,
    /// Whether this end sent the packet.
    sent: bool,
    ms: i64,
    load: Load,
    /// Where it was captured; `None` where it was translated.
    seen_in: Option<u64>,
}

impl End {
    /// The tuple, the way the packet goes.
    fn tuple(&self) -> Tuple {
        if self.sent { (self.local, self.remote) } else { (self.remote, self.local) }
    }
}

/// All that is known.
pub(crate) struct Reference {
    lives: Vec<Life>,
    attempts: Vec<Attempt>,
    translations: Vec<Translation>,
    /// Whose an address is.
    addresses: Vec<(std::net::IpAddr, u64)>,
    losses: Vec<i64>,
}

impl Reference {
    pub(crate) fn new(rows: &[Row], packets: &[Packet]) -> Self {
        let seen = life::attempts(packets);
        let translations = translation::read(rows, &seen);
        // A SYN's number is the same on both sides of a translation.
        let mut more = vec![];
        for packet in packets.iter().filter(|packet| packet.ms <= END_MS) {
            if packet.load.is_syn() || packet.load.is_syn_ack() {
                for view in translation::views(&translations, (packet.src, packet.dst), packet.ms) {
                    more.push(Packet { src: view.tuple.0, dst: view.tuple.1, ..packet.clone() });
                }
            }
        }
        let all = [packets, &more].concat();
        let attempts = life::attempts(&all);
        let mut lives = life::read(rows);
        life::find_own(&mut lives, &attempts);
        let interfaces = rows.iter().filter(|row| row.kind == "interface");
        let addresses = interfaces.filter_map(|row| Some((row.local?.ip(), row.netns)));
        let losses = rows.iter().filter(|row| row.kind == "lost").map(|row| row.ms);
        Self {
            lives,
            attempts,
            translations,
            addresses: addresses.collect(),
            losses: losses.collect(),
        }
    }

    /// What both ends of a packet must say.
    pub(crate) fn says(&self, packet: &Packet) -> String {
        format!("{} | {}", self.end(packet, true), self.end(packet, false))
    }

    fn end(&self, packet: &Packet, sent: bool) -> String {
        let Packet { ms, src, dst, load, netns } = *packet;
        let (local, remote) = if sent { (src, dst) } else { (dst, src) };
        let end = End { local, remote, sent, ms, load, seen_in: Some(netns) };
        let mut fit = self.by_lives(&end);
        if let (Fit::One(owner, Rule::Early), Load::Udp) = (&fit, load) {
            // Another socket has the port.
            match self.by_listeners(&end) {
                Fit::Nobody => {}
                Fit::One(bound, _) if bound == *owner => {}
                bound => fit = bound,
            }
        }
        if fit != Fit::Nobody {
            return self.tell(&fit, "", &end);
        }
        let views = translation::views(&self.translations, (src, dst), ms);
        let furthest = views.iter().map(|view| view.hops).max().unwrap_or(0);
        let through = |view: &View| {
            let (local, remote) = if sent { view.tuple } else { (view.tuple.1, view.tuple.0) };
            End { local, remote, seen_in: None, ..end }
        };
        for hops in 1..=furthest {
            let near: Vec<_> = views.iter().filter(|view| view.hops == hops).map(through).collect();
            let fits: Vec<_> = near.iter().map(|end| self.by_lives(end)).collect();
            let fit = one_of(fits);
            let is_over = matches!(fit, Fit::One(_, Rule::Late))
                && near.iter().any(|far| {
                    self.over_ms(far).is_some_and(|over| {
                        let tuple = end.tuple();
                        self.attempts.iter().any(|attempt| {
                            attempt.is_of(tuple) && (over..=ms).contains(&attempt.first_ms)
                        })
                    })
                });
            if fit != Fit::Nobody && !is_over {
                return self.tell(&fit, "nat+", &end);
            }
        }
        if views.iter().map(through).any(|far| far.local != end.local) {
            for far in views.iter().map(through) {
                let fit = self.by_listeners(&far);
                if fit != Fit::Nobody {
                    return self.tell(&fit, "nat+", &end);
                }
            }
            return self.tell(&Fit::Nobody, "", &end);
        }
        self.tell(&self.by_listeners(&end), "", &end)
    }

    fn tell(&self, fit: &Fit, label: &str, end: &End) -> String {
        match fit {
            Fit::One(owner, rule) => format!("{owner} {label}{}", rule.name()),
            Fit::Several => "ambiguous".to_owned(),
            Fit::Nobody => self.why_nobody(end).to_owned(),
        }
    }

    fn why_nobody(&self, end: &End) -> &'static str {
        let is_ours = |ip| {
            self.addresses.iter().any(|&(own, _)| own == ip)
                || self.lives.iter().any(|life| life.local.ip() == ip)
        };
        match end.ms {
            _ if !is_ours(end.local.ip()) => "remote",
            ms if ms < 0 => "before-recording",
            ms if ms > END_MS => "after-recording",
            ms if self.is_lossy(ms, ms) => "in-loss",
            _ => "no-socket",
        }
    }

    fn is_lossy(&self, from_ms: i64, to_ms: i64) -> bool {
        self.losses.iter().any(|&ms| ms - LOSS_MS <= to_ms && from_ms <= ms)
    }

    /// Whether a socket at this end can be in `netns`: where the packet was seen decides if that has
    /// the address; else it has to be whoever owns it, or nobody may.
    fn is_possible(&self, netns: u64, end: &End) -> bool {
        let owns = |netns| self.addresses.contains(&(end.local.ip(), netns));
        if let Some(here) = end.seen_in.filter(|&here| owns(here)) {
            return netns == here;
        }
        let owners = self.addresses.iter().filter(|(ip, _)| *ip == end.local.ip()).count();
        owns(netns) || owners != 1
    }

    fn by_lives(&self, end: &End) -> Fit {
        let mut found = vec![];
        let mut spaces: Vec<u64> = self.lives.iter().map(|life| life.netns).collect();
        spaces.sort_unstable();
        spaces.dedup();
        for &netns in spaces.iter().filter(|&&netns| self.is_possible(netns, end)) {
            let here = |life: &&Life| {
                life.netns == netns
                    && life.is_udp == (end.load == Load::Udp)
                    && life.local == end.local
                    && life.remote == Some(end.remote)
            };
            let mut lives: Vec<&Life> = self.lives.iter().filter(here).collect();
            lives.sort_by_key(|life| life.start_ms);
            match self.in_namespace(&lives, end) {
                Some((Some(life), rule)) => {
                    let owner = life.owner_at(end.ms);
                    found.push(Found { netns, owner, rule });
                }
                // Nobody's in particular, and yet not nobody's.
                Some((None, _)) => return Fit::Several,
                None => {}
            }
        }
        self.choose(found, end)
    }

    fn choose(&self, mut found: Vec<Found>, end: &End) -> Fit {
        let owners: Vec<u64> = self
            .addresses
            .iter()
            .filter(|(ip, _)| *ip == end.local.ip())
            .map(|&(_, netns)| netns)
            .collect();
        for keep in [
            &(|found: &Found| owners.len() == 1 && found.netns == owners[0])
                as &dyn Fn(&Found) -> bool,
            &|found| end.seen_in == Some(found.netns),
            &|found| found.rule == Rule::Exact,
        ] {
            let is_one = found.iter().all(|other| other.owner == found[0].owner);
            if found.iter().any(keep) && !is_one {
                found.retain(keep);
            }
        }
        match found.iter().min_by_key(|found| found.rule) {
            None => Fit::Nobody,
            Some(best) if found.iter().all(|other| other.owner == best.owner) => {
                match &best.owner {
                    Some(owner) => Fit::One(owner.clone(), best.rule),
                    None => Fit::Nobody,
                }
            }
            Some(_) => Fit::Several,
        }
    }

    /// Rules one to three. `lives` have this end's tuple and are in order of time.
    ///
    /// No life is one of several.
    fn in_namespace<'a>(
        &'a self,
        lives: &[&'a Life],
        end: &End,
    ) -> Option<(Option<&'a Life>, Rule)> {
        let ms = end.ms;
        let when = |life: &Life| match ms {
            _ if ms < life.start_ms => Some(Rule::Early),
            _ if ms <= life.end_ms => Some(Rule::Exact),
            _ if ms - life.end_ms <= AFTER_MS => Some(Rule::Late),
            _ => None,
        };
        if let Some(attempt) = self.named(end) {
            let own = lives.iter().find(|life| life.own == Some(attempt));
            if let Some((life, rule)) = own.and_then(|life| Some((life, when(life)?))) {
                return Some((Some(life), rule));
            }
        }
        let open = lives
            .iter()
            .find(|life| life.start_ms <= ms && ms <= life.end_ms && !self.is_taken(life, end));
        if let Some(life) = open {
            return Some((Some(life), Rule::Exact));
        }
        let next = lives.iter().find(|life| life.start_ms > ms);
        let former = lives.iter().rev().find(|life| life.end_ms < ms);
        let former_of_all = former;
        if end.load == Load::Udp {
            let next = next.filter(|life| end.sent && self.may_begin(life, former, end));
            if let Some(life) = next {
                return Some((Some(life), Rule::Early));
            }
            let is_last = |life: &&&Life| {
                end.sent
                    && life.is_closed
                    && ms - life.end_ms <= SLACK_MS
                    && ms <= END_MS
                    && !self.is_lossy(life.end_ms, ms)
            };
            return former.filter(is_last).map(|life| (Some(*life), Rule::Late));
        }
        let has_attempts = self.attempts.iter().any(|attempt| attempt.is_of(end.tuple()));
        if end.load.is_syn() && has_attempts {
            return None;
        }
        let former = former.filter(|life| ms - life.end_ms <= AFTER_MS && self.speaks(life, end));
        if let Some(life) = next.filter(|life| self.is_early(life, former_of_all, end)) {
            // Without its SYN, this may as well be the last of the former one.
            let doubt = former
                .filter(|former| life.own.is_none() && former.owner_at(ms) != life.owner_at(ms));
            return match doubt {
                Some(_) => Some((None, Rule::Early)),
                None => Some((Some(life), Rule::Early)),
            };
        }
        let known = former.filter(|life| life.own.is_some() || !self.is_lossy(life.end_ms, ms));
        known.map(|life| (Some(*life), Rule::Late))
    }

    /// The attempt that a SYN or SYN-ACK names.
    fn named(&self, end: &End) -> Option<usize> {
        let Load::Tcp(flags, seq, ack) = end.load else { return None };
        let (src, dst) = end.tuple();
        let tuple = match flags {
            "S" => (src, dst),
            "S." => (dst, src),
            _ => return None,
        };
        let number = if flags == "S" { seq } else { ack.wrapping_sub(1) };
        self.attempts.iter().rposition(|attempt| {
            attempt.tuple == tuple && attempt.seq == number && attempt.first_ms <= end.ms
        })
    }

    /// Whether a connection without a close is over: its host opened, or answered, another one.
    fn is_taken(&self, life: &Life, end: &End) -> bool {
        if life.is_closed || life.is_udp {
            return false;
        }
        let own = life.own.map(|own| &self.attempts[own]);
        let tuple = end.tuple();
        let taken = self.attempts.iter().find_map(|attempt| {
            let is_new = match own {
                Some(own) => attempt.first_ms > own.first_ms && attempt.tuple == own.tuple,
                None => attempt.first_ms > life.start_ms,
            };
            if !is_new || !attempt.is_of(tuple) {
                return None;
            }
            let from_ms = if attempt.tuple.0 == life.local {
                attempt.first_ms
            } else {
                attempt.answered_ms?
            };
            Some((attempt.first_ms, from_ms))
        });
        taken.is_some_and(|(syn_ms, from_ms)| {
            end.ms >= if end.load.is_syn() { syn_ms } else { from_ms }
        })
    }

    /// Rule two for TCP: back to the life's own SYN, and never past it.
    fn is_early(&self, life: &Life, former: Option<&&Life>, end: &End) -> bool {
        let Some(own) = life.own.map(|own| &self.attempts[own]) else {
            return self.may_begin(life, former, end);
        };
        if own.first_ms > end.ms {
            return false;
        }
        if own.tuple == end.tuple() {
            return true;
        }
        // The other way everything before the answer is the old socket's.
        let lingers = former.is_some_and(|former| end.ms - former.end_ms <= AFTER_MS);
        match own.answered_ms {
            Some(answered) => answered <= end.ms,
            None => own.is_answered_by(end.load) || !lingers,
        }
    }

    /// Without a SYN: near enough, after any former life, and where a former one would be known.
    fn may_begin(&self, life: &Life, former: Option<&&Life>, end: &End) -> bool {
        let distance = life.start_ms - end.ms;
        let was_there = life.opened == "socket" && !life.is_udp;
        let is_whole = end.ms >= 0 && !self.is_lossy(i64::MIN / 2, life.start_ms);
        distance <= BEFORE_MS
            && former.is_none_or(|former| former.end_ms < end.ms)
            && (was_there || distance <= SLACK_MS || is_whole)
    }

    /// Rule three for TCP: nobody took the tuple since.
    fn speaks(&self, life: &Life, end: &End) -> bool {
        let own_ms = life.own.map_or(life.start_ms, |own| self.attempts[own].first_ms);
        let tuple = end.tuple();
        let elsewhere = |position: usize| {
            self.lives.iter().any(|other| other.own == Some(position) && other.local == life.local)
                && !self.lives.iter().any(|other| {
                    other.own == Some(position)
                        && other.netns == life.netns
                        && other.local == life.local
                })
        };
        let newer = self.attempts.iter().enumerate().rfind(|(position, attempt)| {
            attempt.is_of(tuple) && attempt.first_ms <= end.ms && !elsewhere(*position)
        });
        let Some((_, newer)) = newer.filter(|(_, attempt)| attempt.first_ms > own_ms) else {
            return true;
        };
        newer.tuple != tuple
            && newer.answered_ms.is_none_or(|answered| end.ms < answered)
            && !newer.is_answered_by(end.load)
    }

    /// When the last life of this end was over.
    fn over_ms(&self, end: &End) -> Option<i64> {
        let its = self.lives.iter().filter(|life| {
            life.local == end.local && life.remote == Some(end.remote) && life.end_ms <= end.ms
        });
        its.map(|life| life.end_ms).max()
    }

    /// Rule four: only the local end is known.
    fn by_listeners(&self, end: &End) -> Fit {
        let is_udp = end.load == Load::Udp;
        let is_handshake = if end.sent { end.load.is_syn_ack() } else { end.load.is_syn() };
        let lingers = self.lives.iter().any(|life| {
            !life.is_udp
                && life.local == end.local
                && life.remote == Some(end.remote)
                && life.start_ms <= end.ms
                && end.ms - life.end_ms <= AFTER_MS
        });
        let is_whole = end.ms >= AFTER_MS
            && end.ms <= END_MS
            && !self.is_lossy(i64::MIN / 2, end.ms)
            && !lingers;
        if self.is_lossy(end.ms, end.ms) || !(is_udp || is_handshake || is_whole) {
            return Fit::Nobody;
        }
        let mut found = vec![];
        for life in self.lives.iter().filter(|life| life.is_udp == is_udp && life.listens) {
            let reach_ms = match (life.opened, is_udp) {
                ("socket", true) if end.sent => SLACK_MS,
                ("socket", false) => BEFORE_MS,
                _ => 0,
            };
            let goes_on_ms = if life.is_closed || is_udp { 0 } else { AFTER_MS };
            let open = life.start_ms - reach_ms..=life.end_ms + goes_on_ms;
            if life.local == end.local
                && open.contains(&end.ms)
                && self.is_possible(life.netns, end)
            {
                found.push(Found {
                    netns: life.netns,
                    owner: life.owner_at(end.ms),
                    rule: Rule::Listener,
                });
            }
        }
        self.choose(found, end)
    }
}

fn one_of(fits: Vec<Fit>) -> Fit {
    let mut named = fits.into_iter().filter(|fit| *fit != Fit::Nobody);
    match (named.next(), named.next()) {
        (None, _) => Fit::Nobody,
        (Some(one), None) => one,
        (Some(Fit::One(one, rule)), Some(Fit::One(other, _))) if one == other => {
            Fit::One(one, rule)
        }
        _ => Fit::Several,
    }
}
