//! The reference: who may be named at an end of a packet, by DESIGN §5 and §6 and by nothing else. It
//! is meant to be read beside them; it looks at every row for every packet. Where they leave a point
//! open (each says so), more than one verdict is allowed; not to name is allowed wherever the files
//! do not hold enough to be sure.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use super::lives::{Life, Told};
use super::place::Ends;
use super::settle::{self, BEFORE, Fit, Lane};
use super::syns::{can_be_of, syns};
use super::world::{MS, Packet, SECOND, Us};

/// What may be said of one end: `NAME MATCH`, or a reason.
pub(super) type Allowed = BTreeSet<String>;

/// How late a `nat` row may be.
const NAT_LATE: i64 = 20 * MS;

struct Asked<'a> {
    told: &'a Told<'a>,
    packet: &'a Packet,
    /// The packet was sent by the end that is asked for.
    is_out: bool,
    allowed: Allowed,
}

/// What the source (`side` 0) or the destination (1) of a packet may say.
pub(super) fn allowed(told: &Told<'_>, packet: &Packet, side: usize) -> Allowed {
    let ends = if side == 0 { (packet.src, packet.dst) } else { (packet.dst, packet.src) };
    let mut asked = Asked { told, packet, is_out: side == 0, allowed: Allowed::new() };
    // "The best label wins": the rules in their order, until one decides.
    let decided = asked.life(ends, "") || asked.listener(ends, "") || asked.translated(ends);
    if !decided {
        asked.reasons(ends.0);
    }
    asked.allowed
}

impl Asked<'_> {
    fn allow(&mut self, fit: Fit<'_>, nat: &str) {
        let names = self.told.names(fit.life, self.packet.at);
        if names.is_empty() {
            // Its rows tell of no process.
            self.allowed.extend(["no-socket", "in-loss"].map(str::to_owned));
            self.is_outside();
        }
        let lost = self.told.lost_within(fit.life.first, Us::MAX);
        if fit.life.is_inherited() && (lost || fit.life.close.is_none()) {
            // Or the row that tells which is among what was lost, or of after the recording.
            self.allowed.extend(["no-socket", "in-loss"].map(str::to_owned));
        }
        self.allowed.extend(names.iter().map(|name| format!("{name} {nat}{}", fit.label)));
    }

    /// What may be said of a time that was not recorded.
    fn is_outside(&mut self) {
        let (start, end) = self.told.world.recorded;
        // Open point: for how long after the beginning a connection may be one of before.
        if self.packet.at < start + settle::AFTER {
            self.allowed.insert("before-recording".into());
        }
        if self.packet.at > end {
            self.allowed.insert("after-recording".into());
        }
    }

    fn is_ambiguous(&mut self) {
        self.allowed.insert("ambiguous".into());
    }

    /// Whether the interface the packet was seen on speaks against a namespace that has the address.
    fn may_be_in(&self, ns: u64, address: SocketAddrV4) -> bool {
        let twins = self.told.owners_of(address);
        can_be_of(&self.told.world.interfaces[self.packet.interface], ns, &twins)
    }

    /// Whether several namespaces with one address may have been seen on the packet's interface.
    fn is_shared(&self, owners: &[u64]) -> bool {
        let interface = &self.told.world.interfaces[self.packet.interface];
        owners.iter().filter(|&&ns| can_be_of(interface, ns, owners)).count() > 1
    }

    /// Rules 1 to 3. True if they decide.
    fn life(&mut self, (local, remote): Ends, nat: &str) -> bool {
        let (told, packet, is_out) = (self.told, self.packet, self.is_out);
        let of_proto = || told.lives.iter().filter(|life| life.udp == packet.udp);
        let owners = told.owners_of(local);
        let fits_udp = |life: &&Life| {
            let address = life.local.ip() == local.ip()
                || (life.local.ip().is_unspecified() && owners.contains(&life.ns));
            address
                && life.local.port() == local.port()
                && life.remote.is_none_or(|to| to == remote)
        };
        let fits = |life: &&Life| (life.local, life.remote) == (local, Some(remote));
        let lives: Vec<_> = of_proto()
            .filter(|life| if packet.udp { fits_udp(life) } else { fits(life) })
            .collect();
        let mut spaces: Vec<_> = lives.iter().map(|life| life.ns).collect();
        spaces.sort_unstable();
        spaces.dedup();
        let mut lanes = vec![];
        for &ns in &spaces {
            let mut lane: Vec<_> = lives.iter().copied().filter(|life| life.ns == ns).collect();
            lane.sort_by_key(|life| life.first);
            let found = if packet.udp {
                settle::udp(told, &lane, remote, packet.at, is_out)
            } else {
                let forms = told.forms((local, remote));
                let find = |only| {
                    let syns = syns(told.world, &forms, ns, &owners, only);
                    settle::tcp(told, &lane, &syns, packet, is_out)
                };
                // What twins share shows both's SYNs; whose, nobody knows.
                let mut found = find(true);
                if owners.len() > 1 && self.is_shared(&owners) {
                    found.fits.extend(find(false).fits);
                }
                found
            };
            if !found.fits.is_empty() {
                lanes.push((ns, found));
            }
        }
        self.choose(&owners, lanes, local, nat)
    }

    /// "If more than one life fits one end."
    fn choose(
        &mut self,
        owners: &[u64],
        mut lanes: Vec<(u64, Lane<'_>)>,
        local: SocketAddrV4,
        nat: &str,
    ) -> bool {
        // The namespace that owns the address, if exactly one does; then the interface's.
        if let [owner] = owners
            && lanes.iter().any(|(ns, _)| ns == owner)
        {
            lanes.retain(|(ns, _)| ns == owner);
        }
        let excluded = lanes.iter().any(|(ns, _)| !self.may_be_in(*ns, local));
        if excluded {
            // Open point: DESIGN prefers the interface's namespace; that another one, which the
            // interface speaks against, has the only life is no proof.
            self.is_ambiguous();
        }
        if lanes.iter().any(|(ns, _)| self.may_be_in(*ns, local)) {
            let against: Vec<_> = lanes.iter().map(|(ns, _)| self.may_be_in(*ns, local)).collect();
            let mut against = against.into_iter();
            lanes.retain(|_| against.next() == Some(true));
        }
        // Twins that the interface doesn't tell apart: a life that fits, while the other namespace may
        // have had one that nobody told of, needs not be trusted.
        let shared =
            owners.len() > 1 && owners.iter().filter(|&&ns| self.may_be_in(ns, local)).count() > 1;
        let mut is_open = excluded || shared || lanes.len() > 1;
        for (_, lane) in &lanes {
            is_open |= lane.is_open;
            lane.fits.iter().for_each(|&fit| self.allow(fit, nat));
            if lane.also_exact {
                lane.fits.iter().for_each(|&fit| self.allow(Fit { label: "exact", ..fit }, nat));
            }
        }
        let names: BTreeSet<_> = lanes
            .iter()
            .flat_map(|(_, lane)| &lane.fits)
            .map(|fit| self.told.names(fit.life, self.packet.at))
            .collect();
        // "If several different processes do, no name, reason `ambiguous`."
        if is_open || names.len() > 1 {
            self.is_ambiguous();
        }
        // Open point: on a packet that was, or will be, translated, a UDP socket may have the port that
        // stands there without being an end of it.
        let translated = self.packet.udp && self.told.translations.iter().any(|nat| nat.udp);
        !lanes.is_empty() && !is_open && !translated
    }

    /// Rule 4 for TCP; that of UDP is in the lane's. True if it decides.
    fn listener(&mut self, (local, _): Ends, nat: &str) -> bool {
        let (told, packet) = (self.told, self.packet);
        let owners = told.owners_of(local);
        let mut is_open = false;
        let mut best: Vec<&Life> = vec![];
        if packet.udp {
            return false;
        }
        for specific in [true, false] {
            let at_end = |life: &&Life| {
                let address = if specific {
                    life.local.ip() == local.ip()
                } else {
                    life.local.ip().is_unspecified()
                };
                !life.udp && life.remote.is_none() && address && life.local.port() == local.port()
            };
            let in_place =
                |life: &&Life| owners.contains(&life.ns) && self.may_be_in(life.ns, local);
            let there: Vec<_> = told.lives.iter().filter(at_end).filter(in_place).collect();
            let at = packet.at;
            for &life in &there {
                let from = life.first - if life.first_kind == "socket" { BEFORE } else { 0 };
                let lost = !life.seen_from(at) && told.lost_within(life.last_row(at), at);
                let to = life.close.unwrap_or(told.world.recorded.1 + settle::AFTER);
                if from <= at && at <= to && best.iter().all(|other| other.local == life.local) {
                    best.push(life);
                    is_open |= lost || at < life.first || at > told.world.recorded.1;
                }
            }
        }
        // Open point: DESIGN lets a listener speak for every packet of its port; certain is only that
        // it does for the handshake. And where a life might have been there, that nobody told of:
        let is_handshake = packet.flags == if self.is_out { "S." } else { "S" };
        let lost = told.lost_within(packet.at - SECOND, packet.at + SECOND);
        is_open |= !is_handshake || lost || owners.len() > 1;
        let names: BTreeSet<_> = best.iter().map(|life| told.names(life, packet.at)).collect();
        for &life in &best {
            if names.len() == 1 {
                self.allow(Fit { life, label: "listener" }, nat);
            }
        }
        if is_open || names.len() > 1 {
            self.is_ambiguous();
        }
        !best.is_empty() && !is_open
    }

    /// Rule 5: by every translation that changes this tuple, one after another.
    fn translated(&mut self, ends: Ends) -> bool {
        let (told, packet) = (self.told, self.packet);
        let at = packet.at;
        let mut known = vec![ends];
        let mut is_open = false;
        for hop in 0.. {
            let Some(&now) = known.get(hop).filter(|_| hop < 8) else { break };
            for translation in told.translations.iter().filter(|nat| nat.udp == packet.udp) {
                // One that was there when the recording began reaches back, like a socket.
                let from = match translation.from - told.world.recorded.0 {
                    0..SECOND => translation.from - BEFORE,
                    _ => translation.from - NAT_LATE,
                };
                if at < from || at > translation.to {
                    continue;
                }
                // Rows may be late: near the change from one to the next either may hold.
                is_open |=
                    at < translation.from || at > translation.sure_to.saturating_sub(NAT_LATE);
                for (from, to) in translation.pairs() {
                    if from == now && !known.contains(&to) {
                        known.push(to);
                    }
                }
            }
        }
        let mut decided = false;
        for &other in &known[1..] {
            decided |= self.life(other, "nat+") || self.listener(other, "nat+");
        }
        // Open point: which of the labels 1 to 3 a translated packet has, whose SYN was seen by other
        // addresses; and whether the same tuple is the same connection still.
        let labels = self.allowed.clone();
        for verdict in &labels {
            if let Some((name, _)) = verdict.split_once(" nat+") {
                let all = ["exact", "early", "late"].map(|label| format!("{name} nat+{label}"));
                self.allowed.extend(all);
            }
        }
        if is_open || known.len() > 2 {
            self.is_ambiguous();
        }
        decided && !is_open && known.len() == 2
    }

    fn reasons(&mut self, local: SocketAddrV4) {
        let at = self.packet.at;
        let (start, _) = self.told.world.recorded;
        let is_ours = !self.told.owners_of(local).is_empty();
        let mut reasons = vec![];
        if !is_ours {
            reasons.push("remote");
        }
        // Open point: which reason comes first where several are true.
        self.is_outside();
        if is_ours && start <= at {
            reasons.push("no-socket");
        }
        if self.told.losses.iter().any(|&lost| lost - SECOND <= at) {
            reasons.push("in-loss");
        }
        self.allowed.extend(reasons.into_iter().map(str::to_owned));
    }
}
