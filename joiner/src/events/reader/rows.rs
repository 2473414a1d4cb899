//! Rows of sockets to lives. They may come in any order within a life: each fact is taken from the
//! row that states it, times are minima and maxima.

use std::hint::black_box;

use schema::rows::TextColumn;
use schema::{Endpoint, FiveTuple, Kind, Proto};

use super::{AHEAD, Builder, NO_CONVERSATION, Part, Row, position};
use crate::events::cache::{BatchCache, Cached};
use crate::events::facts::{self, Facts};
use crate::events::host::HostId;
use crate::events::identity::{Identity, IdentityId};
use crate::events::life::{Conversation, ConversationId, Handover, Life, LifeId, Listener};
use crate::events::place::{NamespaceId, Space};
use crate::events::sockets::NO_LIFE;
use crate::events::text::TextId;

impl Builder {
    /// Looks up the sockets of these rows, and reads what they will change: that of sockets which were
    /// open for long is far away, and for many rows at a time that is waited for once.
    pub(super) fn fetch(&mut self, host: HostId, rows: &[Facts]) {
        let Self { out, sockets, refined, first_conversations, fetched, has_again, .. } = self;
        *has_again = false;
        fetched.clear();
        fetched.extend(rows.iter().map(|row| {
            let life = row.cookie().map_or(NO_LIFE, |cookie| sockets.get((host, cookie)));
            if life != NO_LIFE {
                out.lives.touch(life);
                black_box((refined[position(life.0)], first_conversations[position(life.0)]));
            }
            life
        }));
        for life in fetched.iter().filter(|&&life| life != NO_LIFE) {
            out.conversations.touch(first_conversations[position(life.0)]);
        }
    }

    /// Adds one row; `time_ns` is steady.
    pub(super) fn add_row(
        &mut self,
        row: Row<'_, '_>,
        cache: &mut BatchCache,
        spaces: &mut [Space],
        part: &mut Part,
    ) {
        let Row { kind, time_ns, .. } = row;
        match kind {
            Kind::Lost => self.add_loss(row, part),
            Kind::Nat | Kind::NatEnd => self.add_translation(row, spaces),
            Kind::Publish => self.add_publication(row, cache, spaces),
            Kind::Interface => self.add_interface(row, cache, spaces),
            Kind::Forward => self.add_forward(row),
            Kind::Exec => {
                if let Some(id) = self.who(row, cache) {
                    let identity = &self.identities[position(id.0)];
                    self.out.programs.exec(time_ns, (id, identity));
                }
            }
            Kind::Exit | Kind::Clock => {}
            _ => self.add_socket(row, cache, spaces),
        }
    }

    fn add_socket(&mut self, row: Row<'_, '_>, cache: &mut BatchCache, spaces: &mut [Space]) {
        let Row { facts, row: at, kind, .. } = row;
        let Some(cookie) = facts.cookie() else { return };
        let owner = self.who(row, cache);
        let life = match self.fetched[at % AHEAD] {
            // Which of a socket's connections it is of depends on the rows before.
            life if life != NO_LIFE && kind != Kind::TcpConnect && !self.has_again => life,
            _ => self.life(row.host, cookie, kind, row.time_ns),
        };
        let (Some(proto), Some(local)) = (facts.proto, row.local()) else {
            return self.update_life(life, row, (owner, None));
        };
        let local_port = facts.local_port();
        let namespace = local_port.and_then(|_| self.namespace(row, spaces));
        self.update_life(life, row, (owner, namespace));
        let noted = cache.noted.get_mut(position(facts.local));
        let before = noted.as_deref().copied().flatten();
        if before.is_none() {
            self.out.hosts[usize::from(row.host.0)].add_address(Endpoint::v6(local, 0));
        }
        if let Some(noted) = noted {
            *noted = Some(namespace.or(before.flatten()));
        }
        let Some(local_port) = local_port else { return };
        let local = Endpoint::v6(local, local_port);
        if let Some(namespace) = namespace
            && before != Some(Some(namespace))
        {
            self.places.used(namespace, local);
        }
        let remote = row.remote().zip(facts.remote_port());
        self.listen(life, proto, local, remote.is_some(), row);
        if let Some((remote, remote_port)) = remote {
            let tuple = FiveTuple::new(proto, local, Endpoint::v6(remote, remote_port));
            self.converse(life, tuple, (kind, row.time_ns), owner);
        }
    }

    /// The life of socket `cookie` that a row of this kind belongs to.
    fn life(&mut self, host: HostId, cookie: u64, kind: Kind, time_ns: i64) -> LifeId {
        let lives = &mut self.out.lives;
        let latest = self.sockets.latest((host, cookie));
        // A socket whose connect failed may connect again.
        if *latest != NO_LIFE && (kind != Kind::TcpConnect || !lives.is_closed(*latest)) {
            return *latest;
        }
        self.has_again |= *latest != NO_LIFE;
        *latest = lives.push(&Life::new(host, cookie, kind, time_ns));
        self.refined.push(false);
        self.first_conversations.push(NO_CONVERSATION);
        *latest
    }

    fn update_life(
        &mut self,
        id: LifeId,
        row: Row<'_, '_>,
        (owner, namespace): (Option<IdentityId>, Option<NamespaceId>),
    ) {
        let Row { columns, facts, row: at, kind, time_ns, .. } = row;
        let direction = facts.direction;
        let is_refined = &mut self.refined[position(id.0)];
        let mut life = self.out.lives.get(id);
        if time_ns < life.start_ns {
            let first = self.first_conversations[position(id.0)];
            if first != NO_CONVERSATION {
                self.out.conversations.detach(first, life.start_ns);
            }
            life.start_ns = time_ns;
            life.opened = kind;
        }
        life.end_ns = life.end_ns.max(time_ns);
        life.namespace = life.namespace.or(namespace);
        life.direction = life.direction.or(direction);
        if facts.has_counts() {
            life.latency_us = life.latency_us.or(columns.latency_us.get(at));
            life.retransmits = life.retransmits.max(columns.retransmits.get(at));
        }
        if matches!(kind, Kind::TcpClose | Kind::UdpClose | Kind::TcpConnectFail) {
            life.closed = Some(kind);
            life.end_ns = time_ns;
            let bytes = columns.bytes_sent.get(at).zip(columns.bytes_received.get(at));
            life.bytes = bytes.filter(|_| kind == Kind::TcpClose);
            if let (Kind::TcpConnectFail, Some(error)) = (kind, columns.error.get(at)) {
                life.error = self.out.texts.intern(error);
            }
        }
        // Known for sure once all rows are read.
        life.sure_ns = life.end_ns;
        let Some(owner) = owner else { return self.out.lives.set(id, &life) };
        let tells_user = matches!(kind, Kind::TcpClose | Kind::Socket);
        if tells_user && life.accepted() && !*is_refined {
            // It names who uses the socket. Where the row that told so first was lost, this does.
            life.owner = Some(owner);
            *is_refined = true;
        } else if kind == Kind::Owner {
            *is_refined = true;
            if direction.is_some() {
                life.owner = Some(owner);
                life.tid = facts.tid();
            } else {
                self.out.handovers.push(Handover { life: id, time_ns, owner });
            }
        } else if life.owner.is_none() && !(kind == Kind::Socket && *is_refined) {
            // A later listing of a socket that was handed over names the new process.
            life.owner = Some(owner);
            life.tid = facts.tid();
        }
        self.out.lives.set(id, &life);
    }

    /// Takes note of a local endpoint that takes whoever comes, or no longer does.
    fn listen(
        &mut self,
        life: LifeId,
        proto: Proto,
        local: Endpoint,
        has_peer: bool,
        row: Row<'_, '_>,
    ) {
        let Row { columns, row: at, kind, time_ns, .. } = row;
        let all = &mut self.out.listeners;
        if kind == Kind::UdpConnect {
            for &listener in self.listeners.get(&life).into_iter().flatten() {
                all[listener].until_ns = all[listener].until_ns.min(time_ns);
            }
        }
        let listens = match kind {
            Kind::TcpListen | Kind::UdpBind | Kind::Socket => !has_peer,
            // A peer of an unconnected socket is one of many.
            Kind::UdpSend | Kind::UdpRecv => true,
            _ => false,
        };
        if !listens {
            return;
        }
        let known = self.listeners.entry(life).or_default();
        let v6only = columns.v6only.get(at).unwrap_or(false);
        if let Some(&listener) = known.iter().find(|&&listener| all[listener].local == local) {
            all[listener].v6only |= v6only;
            all[listener].from_ns = all[listener].from_ns.min(time_ns);
            return;
        }
        known.push(all.len());
        let (from_ns, until_ns) = (time_ns, i64::MAX);
        all.push(Listener { life, proto, local, v6only, from_ns, until_ns });
    }

    fn converse(
        &mut self,
        life: LifeId,
        tuple: FiveTuple,
        (kind, time_ns): (Kind, i64),
        owner: Option<IdentityId>,
    ) {
        let (all, lives) = (&mut self.out.conversations, &self.out.lives);
        let next = ConversationId(u32::try_from(all.len()).unwrap_or(u32::MAX));
        let first = &mut self.first_conversations[position(life.0)];
        let id = match *first {
            NO_CONVERSATION => {
                *first = next;
                next
            }
            first if all.is_between(first, tuple) => first,
            _ => *self.conversations.entry((life, tuple)).or_insert(next),
        };
        // A datagram's row names the process that really sent or read it; every other row names
        // the socket's owner, which may be refined later.
        let own = matches!(kind, Kind::UdpSend | Kind::UdpRecv).then_some(owner).flatten();
        if id == next {
            let opened_ns = time_ns;
            let conversation = Conversation { life, tuple, opened: kind, opened_ns, owner: own };
            all.push(&conversation, lives);
            if *first != id {
                // Of the others nobody knows when their life is found to begin earlier.
                all.detach(id, time_ns);
            }
        } else {
            all.note(id, own, (kind, time_ns), lives);
        }
    }

    /// The process of a row: as the first row of the batch has it that describes the same.
    fn who(&mut self, row: Row<'_, '_>, cache: &mut BatchCache) -> Option<IdentityId> {
        let first = Some(row.facts.alike).filter(|&first| first != facts::NONE)?;
        if let Some(&Some(id)) = cache.known.get(position(first)) {
            self.see(id, row.time_ns);
            return Some(id);
        }
        let id = self.identity(row, cache)?;
        self.see(id, row.time_ns);
        if let Some(known) = cache.known.get_mut(position(first)) {
            *known = Some(id);
        }
        Some(id)
    }

    /// A row describes a process.
    fn see(&mut self, id: IdentityId, time_ns: i64) {
        match self.seen.get_mut(position(id.0)) {
            Some((first, last)) => {
                *first = time_ns.min(*first);
                *last = time_ns.max(*last);
            }
            None => self.seen.push((time_ns, time_ns)),
        }
    }

    /// The process of a row, the same for the same description.
    fn identity(&mut self, row: Row<'_, '_>, cache: &mut BatchCache) -> Option<IdentityId> {
        let Row { host, columns, row: at, .. } = row;
        let pid = columns.pid.get(at)?;
        let start = columns.start_ts.get(at).unwrap_or(0);
        let (process, _) = self.processes.insert_full((host, pid, start));
        let texts = &mut self.out.texts;
        let mut text = |cached: &mut Cached<TextId>, column: &TextColumn<'_>| {
            cached.get(column, at, |text| Some(texts.intern(text))).unwrap_or_default()
        };
        let mut identity = Identity {
            host,
            proc: u32::try_from(process + 1).unwrap_or(u32::MAX),
            pid,
            uid: columns.uid.get(at),
            gid: columns.gid.get(at),
            ppid: columns.ppid.get(at),
            user: text(&mut cache.user, &columns.user),
            comm: text(&mut cache.comm, &columns.comm),
            exe: text(&mut cache.exe, &columns.exe),
            cmdline: text(&mut cache.cmdline, &columns.cmdline),
            parent_comm: text(&mut cache.parent_comm, &columns.parent_comm),
            parent_exe: text(&mut cache.parent_exe, &columns.parent_exe),
            container_id: TextId::NONE,
            container_name: TextId::NONE,
            container_image: TextId::NONE,
            pod: TextId::NONE,
        };
        let container = self.container_columns(row, cache);
        identity.container_id = container.id;
        identity.container_name = container.name;
        identity.container_image = container.image;
        identity.pod = container.pod;
        let (id, _) = self.identities.insert_full(identity);
        Some(IdentityId(u32::try_from(id).unwrap_or(u32::MAX)))
    }
}
