//! How the ends of one packet were decided, step by step, for people.

use std::io::{self, Write};

use schema::annotation::escape;

use crate::attribute::{Holder, Seen, SideVerdict, Step, Via};
use crate::chunk::{Captured, Piece};
use crate::config::Explain;
use crate::decode::{Packet, Undecoded};
use crate::events::{EventFiles, HostId, IdentityId, NamespaceId, Recordings};
use crate::examine::{Examiner, around};
use crate::given::in_order;
use crate::index::Lane;
use crate::jobs::expand_events;
use crate::pipeline::Pipeline;
use crate::run::RunError;
use crate::scan::Scanner;

/// Prints how packet [`Explain::frame`] is decided.
///
/// # Errors
///
/// [`RunError`].
pub fn explain(config: &Explain, out: &mut impl Write) -> Result<(), RunError> {
    let config = in_order(config)?;
    let sources = &config.sources;
    let events = EventFiles::find(&expand_events(&sources.events)?)?;
    let pipeline = Pipeline::new(config.threads);
    let capture = sources.open(None)?;
    let prepared = sources.prepare(&capture, &events, &pipeline, |_| {})?;
    let reader = sources.reader(&capture)?;
    let mut scanner = Scanner::new(reader).map_err(|error| sources.capture_error(error))?;
    let mut piece = Piece::default();
    let mut packets = 0;
    while scanner.next_piece(&mut piece).map_err(|e| sources.capture_error(e.into()))? {
        for chunk in piece.chunks() {
            for (item, position) in chunk.items_at() {
                packets += u64::from(item.is_packet());
                if item.is_packet() && packets == config.frame {
                    let story = Story { examiner: &prepared.examiner, out };
                    let captured = item.captured();
                    let told = story.tell(captured, chunk.boot_id(), position, config.frame);
                    return told.map_err(RunError::Print);
                }
            }
        }
    }
    let (path, damage) = (sources.capture.clone(), scanner.damage().cloned());
    Err(RunError::NoFrame { path, packets, damage })
}

struct Story<'a, W> {
    examiner: &'a Examiner,
    out: W,
}

impl<W: Write> Story<'_, W> {
    fn recordings(&self) -> &Recordings {
        self.examiner.matcher.recordings()
    }

    fn tell(
        mut self,
        captured: Option<Captured<'_>>,
        boot_id: Option<&str>,
        position: u64,
        frame: u64,
    ) -> io::Result<()> {
        let Some(captured) = captured else {
            return writeln!(self.out, "packet {frame} has no time: no-time, or malformed");
        };
        let wall_ns = captured.time_ns;
        let (packet, seen) = self.examiner.understand(captured, boot_id, position);
        let packet = match packet {
            Ok(packet) => packet,
            Err(undecoded) => {
                let what = match undecoded {
                    Undecoded::NotIp => "not-ip",
                    Undecoded::NoTransport => "no-transport",
                    Undecoded::Fragment(_) => "no-transport: a fragment whose first is not there",
                    Undecoded::Truncated => "truncated",
                    Undecoded::Malformed => "malformed",
                };
                return writeln!(self.out, "packet {frame} has no transport tuple: {what}");
            }
        };
        writeln!(self.out, "packet {frame}: {}, {}", packet.direction(), time(seen.time_ns))?;
        if wall_ns != seen.time_ns {
            let moved = seen.time_ns.saturating_sub(wall_ns);
            writeln!(self.out, "  the clock was set: its time is moved by {} us", moved / 1000)?;
        }
        if self.examiner.clock.is_doubtful(wall_ns) {
            let what =
                "the clock showed this time twice, and nothing tells which it was: ambiguous";
            return writeln!(self.out, "  {what}");
        }
        let mut is_named = self.ends(&packet, &seen)?;
        for outer in around(captured, &packet) {
            if is_named {
                break;
            }
            writeln!(self.out, "the packet it is in: {}", outer.direction())?;
            is_named = self.ends(&outer, &seen)?;
        }
        Ok(())
    }

    /// Tells of both ends, and whether either has a name.
    fn ends(&mut self, packet: &Packet, seen: &Seen<'_>) -> io::Result<bool> {
        let mut is_named = false;
        for (is_source, name) in [(true, "source"), (false, "destination")] {
            let mut steps: Vec<Step> = vec![];
            let verdict = self.examiner.matcher.explain(packet, seen, is_source, &mut steps);
            writeln!(self.out, "{name}")?;
            for step in steps {
                self.step(step, seen.time_ns)?;
            }
            is_named |= verdict.is_named();
            self.verdict(verdict)?;
        }
        Ok(is_named)
    }

    fn step(&mut self, step: Step, time_ns: i64) -> io::Result<()> {
        match step {
            Step::Tuple(tuple, 0) => writeln!(self.out, "  sockets with {tuple}"),
            Step::Tuple(tuple, hops) => {
                writeln!(self.out, "  translated ({hops}): sockets with {tuple}")
            }
            Step::Candidate(holder, lane, rule) => {
                let who = self.holder(holder, time_ns);
                let lane = self.lane(lane);
                match rule {
                    Some(rule) => writeln!(self.out, "    {who} {lane}: {rule}"),
                    None => writeln!(self.out, "    {who} {lane}: no"),
                }
            }
            Step::Elsewhere(lane) => {
                let lane = self.lane(lane);
                writeln!(
                    self.out,
                    "    {lane} is out: the address is another namespace's, or it was seen elsewhere"
                )
            }
            Step::Place(Some(namespace)) => {
                let namespace = self.namespace(namespace);
                writeln!(self.out, "    several fit; it was seen in {namespace}")
            }
            Step::Place(None) => {
                writeln!(self.out, "    several fit; where it was seen is not known")
            }
            Step::Ambiguous => writeln!(self.out, "    nothing decides between several processes"),
            Step::Listeners => writeln!(self.out, "  who listens there"),
            Step::ListenersTranslated => writeln!(
                self.out,
                "  who listens behind the translation (not on the packet's own address)"
            ),
            Step::Publications => writeln!(self.out, "  published ports"),
            Step::PublishedOnly => writeln!(
                self.out,
                "    the port is published, and nothing tells whether the packet took that way"
            ),
        }
    }

    fn verdict(&mut self, verdict: SideVerdict) -> io::Result<()> {
        match verdict {
            SideVerdict::Unnamed(reason) => writeln!(self.out, "  = nobody: {reason}"),
            SideVerdict::Named { owner, found, via, .. } => {
                let owner = self.process(owner);
                write!(self.out, "  = {owner}, {found}")?;
                match via {
                    Via::Nobody => writeln!(self.out),
                    Via::Process { owner, .. } => {
                        let far = self.process(owner);
                        writeln!(self.out, ", for {far}")
                    }
                    Via::Container(Some(id), reason) => {
                        let recordings = self.recordings();
                        let name = recordings.places.container(id).name;
                        let name = printable(recordings.texts.get(name).unwrap_or("?"));
                        writeln!(self.out, ", for container {name} ({reason})")
                    }
                    Via::Container(None, reason) => writeln!(self.out, ", for somebody ({reason})"),
                }
            }
        }
    }

    fn holder(&self, holder: Holder, time_ns: i64) -> String {
        let recordings = self.recordings();
        let (life, from_ns, to_ns) = match holder {
            Holder::Conversation(id) => {
                let life = recordings.life_of(id);
                (life, life.start_ns, life.end_ns)
            }
            Holder::Listener(id) => {
                let listener = recordings.listener(id);
                (recordings.life(listener.life), listener.from_ns, listener.until_ns)
            }
        };
        // As the verdict has it: who held it then, and what that process was by then.
        let owner = self.examiner.matcher.holder_at(holder, time_ns);
        let owner = owner.map_or_else(|| "nobody known".to_owned(), |id| self.process(id));
        let relative = |ns: i64| {
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            let seconds = ns.saturating_sub(time_ns) as f64 / 1e9;
            format!("{seconds:+.6} s")
        };
        let closed = life.closed.map_or("still open", |kind| kind.as_str());
        format!(
            "{owner}, {} {} to {} ({closed}), socket {}",
            life.opened,
            relative(from_ns),
            relative(to_ns),
            life.socket_cookie
        )
    }

    fn process(&self, id: IdentityId) -> String {
        let recordings = self.recordings();
        let identity = recordings.identity(id);
        let comm = printable(recordings.texts.get(identity.comm).unwrap_or("?"));
        let mut text = format!("{comm}[{}]", identity.pid);
        if let Some(name) = recordings.texts.get(identity.container_name) {
            text.push_str(" in ");
            text.push_str(&printable(name));
        }
        text
    }

    fn lane(&self, lane: Lane) -> String {
        match lane.namespace {
            Some(namespace) => format!("in {}", self.namespace(namespace)),
            None => format!("somewhere on {}", self.host(lane.host)),
        }
    }

    fn namespace(&self, id: NamespaceId) -> String {
        let namespace = self.recordings().places.namespace(id);
        let host = self.host(namespace.host);
        match namespace.inode {
            Some(inode) => format!("namespace {inode} of {host}"),
            None => format!("a namespace of {host}"),
        }
    }

    fn host(&self, id: HostId) -> String {
        printable(&self.recordings().host(id).name)
    }
}

/// Text of processes and hosts must not steer the terminal.
fn printable(text: &str) -> String {
    let mut out = String::new();
    escape::encode(text, &mut out);
    out
}

/// RFC 3339 in UTC, with nanoseconds.
fn time(ns: i64) -> String {
    let since = std::time::Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
    humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since).to_string()
}
