//! Connections as the kernel makes them, packet by packet, with the rows that the hooks would write
//! and the truth of both ends.

use super::draft::{Draft, Sock};
use super::place::Path;
use super::world::{MS, Packet, Row, SECOND, Us};

/// One connection while it goes on.
pub(super) struct Talk<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) path: &'a Path,
    /// First sequence numbers of client and server.
    isn: (u32, u32),
    /// Who is at the client's end; none if it is far.
    client: Vec<String>,
    /// From when on another process is, and which.
    change: Option<(Us, String)>,
    /// Who is at the server's end now.
    server: Vec<String>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(draft: &'a mut Draft, path: &'a Path) -> Self {
        let mut number = || u32::try_from(draft.rng.within(1, 4_000_000_000)).expect("fits");
        let isn = (number(), number());
        Self { draft, path, isn, client: vec![], change: None, server: vec![] }
    }

    /// A packet from the client, or to it.
    fn send(&mut self, at: Us, up: bool, flags: &'static str) {
        let client = match &self.change {
            // At the very moment either is right; and what happened outside of the recording can't be
            // known.
            Some((from, to)) if (at - from).abs() < 300 || self.draft.is_untold(*from) => {
                [&self.client[..], std::slice::from_ref(to)].concat()
            }
            Some((from, to)) if *from < at => vec![to.clone()],
            _ => self.client.clone(),
        };
        let mut server = self.server.clone();
        if let (Some((ns, (local, _))), "S") = (self.path.server, flags) {
            // One that got lost was meant for whoever listened then.
            let there = self.draft.listening(false, ns, local.port(), at);
            server.extend(there.into_iter().map(|listener| listener.who));
        }
        let mut truth = [client, server];
        if !up {
            truth.reverse();
        }
        let (first, other) = if up { self.isn } else { (self.isn.1, self.isn.0) };
        let ack = if flags.contains(['.']) { other.wrapping_add(1) } else { 0 };
        let seq = first.wrapping_add(u32::from(!flags.contains('S')));
        let (src, dst) = self.path.views[0].1;
        let packet = Packet { at, src, dst, udp: false, flags, seq, ack, interface: 0, truth };
        self.draft.send(self.path, up, packet);
    }

    /// What would happen to the client's socket later than `at` does not.
    fn unchanged_from(&mut self, at: Us) {
        self.change = self.change.take().filter(|(from, _)| *from < at - 500);
    }

    /// How long an answer takes.
    fn answer(&mut self, up: bool) -> Us {
        let far = if up { self.path.client.is_none() } else { self.path.server.is_none() };
        if far { self.draft.rng.within(200, 60 * MS) } else { self.draft.rng.within(15, 60) }
    }

    fn row(&mut self, at: Us, kind: &'static str, cookie: u64, of_client: bool) {
        let end = if of_client { self.path.client } else { self.path.server };
        if let Some((ns, (local, remote))) = end {
            let (local, remote) = (Some(local), Some(remote));
            // The kernel's count of payload: these connections have none.
            let more = if kind == "tcp_close" { "sent=0 received=0" } else { "" }.to_owned();
            self.draft.row(Row { cookie, ns, local, remote, more, ..Row::new(at, kind) });
        }
    }

    /// The client's socket, held by a new process, from `at` on; `until` is its end.
    fn open_client(&mut self, at: Us, until: Option<Us>, cookie: u64) {
        let Some((ns, (local, remote))) = self.path.client else { return };
        let (local, remote) = (Some(local), Some(remote));
        let row = Row { cookie, ns, local, remote, ..Row::new(at, "tcp_connect") };
        let holder = self.client[0].clone();
        let handed = self.change.clone().filter(|(_, to)| to.starts_with('h'));
        if let Some((at, to)) = self.change.clone().filter(|(_, to)| to.starts_with('x')) {
            let more = format!("of={holder}");
            self.draft.row(Row { who: to, more, ..Row::new(at, "exec") });
        }
        self.draft.open(Sock { row, opened: at, closed: until, holder, handed });
    }

    /// What conntrack tells: of the beginning up to 20 ms late, of the end up to a minute.
    fn translate(&mut self, from: Us, to: Option<Us>) {
        let Some(((src, dst), onward)) = self.path.nat else { return };
        let ct = u32::try_from(self.draft.id()).expect("few");
        // Those of one tuple are told in their order.
        let late = self.draft.rng.within(0, 20 * MS);
        let late = late.max(self.draft.last_nat.get(&src).map_or(0, |last| last + 1 - from));
        let row = Row {
            ns: 1,
            local: Some(src),
            remote: Some(dst),
            onward: Some(onward),
            ct,
            ..Row::new(from + late, "nat")
        };
        if let Some(to) = to {
            let late = self.draft.rng.within(3 * SECOND, 60 * SECOND);
            self.draft.row(Row { at: to + late, kind: "nat_end", ..row.clone() });
        }
        self.draft.row(row);
        self.draft.last_nat.insert(src, from + late);
    }

    /// A connection begun at `at`; when the tuple is free again.
    pub(super) fn run(mut self, at: Us) -> Us {
        let cookie = self.draft.id();
        if self.path.client.is_some() {
            self.client = vec![self.draft.process('c')];
            let change = at + self.draft.rng.within(50, 4 * SECOND);
            if self.draft.rng.percent(25) {
                self.change = Some((change, self.draft.process('h')));
            } else if self.draft.rng.percent(15) && !self.draft.style.lossy {
                self.change = Some((change, self.draft.process('x')));
            }
        }
        // The SYN, and again where the first got lost; it is received by whoever listens in the end.
        let first = at + self.draft.rng.within(20, 80);
        let again: &[Us] = match self.draft.rng.within(0, 10) {
            0 => &[0, SECOND],
            1 => &[0, SECOND, 3 * SECOND],
            _ => &[0],
        };
        let last = first + again.last().expect("one");
        let there = match self.path.server {
            Some((ns, (local, _))) => self.draft.listening(false, ns, local.port(), last),
            None => vec![],
        };
        let there: Vec<_> = there.into_iter().map(|listener| listener.who).collect();
        let far = self.path.server.is_none();
        self.server = there.clone();
        let answered = if far { self.draft.rng.percent(85) } else { true };
        let ending = if !answered {
            self.unanswered(at, first, cookie)
        } else if (far && self.draft.rng.percent(12)) || (!far && there.is_empty()) {
            self.refused(at, first, again, cookie)
        } else if self.path.client.is_none() && self.draft.rng.percent(15) {
            self.half_open(first, again)
        } else {
            return self.established(at, first, again, cookie);
        };
        self.translate(first, Some(ending));
        ending
    }

    /// Nobody answers.
    fn unanswered(&mut self, at: Us, first: Us, cookie: u64) -> Us {
        let tries = self.draft.rng.within(1, 4);
        let until = first + (1 << tries) * SECOND;
        self.unchanged_from(until);
        self.open_client(at, Some(until), cookie);
        (0..tries).for_each(|n| self.send(first + ((1 << n) - 1) * SECOND, true, "S"));
        self.row(until, "tcp_connect_fail", cookie, true);
        until + 100
    }

    fn refused(&mut self, at: Us, first: Us, again: &[Us], cookie: u64) -> Us {
        self.unchanged_from(first + again.last().expect("one"));
        again.iter().for_each(|later| self.send(first + later, true, "S"));
        let reset = first + again.last().expect("one") + self.answer(false);
        // Who has no socket answers with the number 0.
        self.isn.1 = u32::MAX;
        self.send(reset, false, "R.");
        self.open_client(at, Some(reset + 15), cookie);
        self.row(reset + 15, "tcp_connect_fail", cookie, true);
        reset + 100
    }

    /// A far client that begins and goes away; it resets what it finds of that later.
    fn half_open(&mut self, first: Us, again: &[Us]) -> Us {
        again.iter().for_each(|later| self.send(first + later, true, "S"));
        let mut at = first + again.last().expect("one");
        for n in 0..self.draft.rng.within(1, 3) {
            let next = at + self.answer(false) + n * SECOND;
            // A listener that closes takes its unfinished handshakes along.
            let there = self.path.server.is_none_or(|(ns, (local, _))| {
                let there = self.draft.listening(false, ns, local.port(), next);
                there.iter().any(|listener| self.server.contains(&listener.who))
            });
            if n > 0 && !there {
                break;
            }
            at = next;
            self.send(at, false, "S.");
        }
        at += self.answer(true);
        self.send(at, true, "R");
        at + 100
    }

    fn established(mut self, at: Us, first: Us, again: &[Us], cookie: u64) -> Us {
        // Which of several listeners the kernel gives it to.
        let listener = match self.server.len() {
            0 => None,
            _ => Some(self.draft.rng.pick(&self.server.iter().collect::<Vec<_>>()).clone()),
        };
        let forks = self.draft.rng.percent(50);
        let worker =
            listener.clone().map(|name| if forks { self.draft.process('w') } else { name });
        // A handshake is the listener's; the worker's name is as good.
        self.server = listener.iter().chain(&worker).cloned().collect();
        again.iter().for_each(|later| self.send(first + later, true, "S"));
        let mut now = first + again.last().expect("one") + self.answer(false);
        self.send(now, false, "S.");
        let told = now + 10;
        now += self.answer(true) + 20;
        self.send(now, true, ".");
        let accepted = now + 15;
        let accepted_cookie = self.draft.id();
        now += 40;
        self.server = worker.iter().cloned().collect();
        let read = now + self.draft.rng.within(30, 2 * MS);
        for n in 0..self.draft.rng.within(0, 5) {
            let wait = self.draft.rng.pick(&[60, MS, 200 * MS, 5 * SECOND, 15 * SECOND]);
            now += self.draft.rng.within(wait / 2, wait);
            let up = n == 0 || self.draft.rng.percent(50);
            self.send(now, up, "P.");
            now += self.answer(!up);
            self.send(now, !up, ".");
        }
        now = now.max(read) + self.draft.rng.within(100, 3 * SECOND);
        self.unchanged_from(now);
        let stays = self.draft.rng.percent(8);
        let (closed, free) = if stays {
            // Open for ever: nothing uses the tuple again.
            ([None; 2], 1_000 * SECOND)
        } else if self.draft.rng.percent(30) {
            self.reset(now)
        } else {
            self.finish(now)
        };
        self.open_client(at, closed[0], cookie);
        self.row(told, "tcp_established", cookie, true);
        if let Some(closed) = closed[0] {
            self.row(closed, "tcp_close", cookie, true);
        }
        if let (Some((ns, (local, remote))), Some(listener)) = (self.path.server, listener) {
            let row = Row {
                cookie: accepted_cookie,
                ns,
                local: Some(local),
                remote: Some(remote),
                more: "direction=in".into(),
                ..Row::new(accepted, "tcp_accept")
            };
            let handed = worker.filter(|_| forks).map(|worker| (read, worker));
            self.draft.open(Sock {
                row,
                opened: accepted,
                closed: closed[1],
                holder: listener,
                handed,
            });
            if let Some(closed) = closed[1] {
                self.row(closed, "tcp_close", accepted_cookie, false);
            }
        }
        // Who is beyond a translation may be another one only when conntrack has forgotten it.
        self.translate(first, closed[0].or(closed[1]));
        free
    }

    fn reset(&mut self, at: Us) -> ([Option<Us>; 2], Us) {
        let up = self.draft.rng.percent(50);
        self.send(at, up, "R.");
        // What the other end had sent by then is answered by the kernel.
        if self.draft.rng.percent(30) {
            self.send(at + 4, !up, "P.");
            self.send(at + 20, up, "R");
        }
        let heard = at + self.answer(!up).min(80) + 30;
        let closed = if up { [at + 3, heard] } else { [heard, at + 3] };
        (closed.map(Some), heard + self.draft.rng.within(100, 400))
    }

    fn finish(&mut self, at: Us) -> ([Option<Us>; 2], Us) {
        // Who closes first keeps the tuple in TIME_WAIT.
        let up = self.draft.rng.percent(50);
        self.send(at, up, "F.");
        let mut now = at + self.answer(!up);
        if self.draft.rng.percent(40) {
            self.send(now, !up, ".");
            now += self.draft.rng.within(20, 800 * MS);
        }
        self.send(now, !up, "F.");
        now += self.answer(up);
        let first_closed = now - 5;
        self.send(now, up, ".");
        // The last acknowledgement may get lost; then the second FIN comes again.
        for _ in 0..self.draft.rng.pick(&[0, 0, 0, 0, 1, 2]) {
            now += self.draft.rng.within(200 * MS, 400 * MS);
            self.send(now, !up, "F.");
            now += self.answer(up);
            self.send(now, up, ".");
        }
        let second_closed = now + self.draft.rng.within(10, 40);
        let closed = if up { [first_closed, second_closed] } else { [second_closed, first_closed] };
        // A client in TIME_WAIT takes the tuple again after a second; one that isn't, at once.
        let rest = if up { SECOND } else { self.draft.rng.within(50, 300) };
        (closed.map(Some), second_closed.max(first_closed) + rest)
    }
}
