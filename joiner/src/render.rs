//! Verdicts to the text of a comment. The full form stands on the first packet of a flow and
//! direction; the brief form names the process and refers to the full one by its number. Where a
//! process stands in the file for the first time it is introduced with all that is known of it.

use std::borrow::Cow;

use hashbrown::HashMap;
use schema::annotation::{self, Annotation, Match, Process, Reason, Rule, Side};
use schema::{FiveTuple, Kind};

use crate::attribute::{Holder, SideVerdict, Verdict, Via};
use crate::events::{HostId, Identity, IdentityId, Life, LifeId, Recordings, TextId};

/// Renders verdicts about packets of one capture.
#[derive(Clone, Copy, Debug)]
pub struct Renderer<'a> {
    recordings: &'a Recordings,
}

/// What a phrase depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PhraseKey {
    is_source: bool,
    owner: IdentityId,
    tid: Option<u32>,
    via: Via,
}

/// Phrases that are kept; at some 150 bytes each that is a few MB.
const ENOUGH: usize = 1 << 15;

/// What is said of processes that were introduced.
#[derive(Debug, Default)]
pub struct Phrases(HashMap<PhraseKey, Box<str>>);

impl Phrases {
    /// Makes room, where it becomes too much.
    fn tidy(&mut self) {
        if self.0.len() >= ENOUGH {
            self.0.clear();
        }
    }

    fn keep<'b>(&mut self, key: PhraseKey, side: impl FnOnce() -> Side<'b>) {
        self.0.entry(key).or_insert_with(|| {
            let mut text = String::new();
            side().encode_processes(key.is_source, &mut text);
            text.into()
        });
    }

    fn get(&self, key: &PhraseKey) -> Option<&str> {
        self.0.get(key).map(|text| &**text)
    }
}

impl<'a> Renderer<'a> {
    /// A renderer of verdicts that were reached by `recordings`.
    #[must_use]
    pub const fn new(recordings: &'a Recordings) -> Self {
        Self { recordings }
    }

    /// Appends the full form for a packet with this tuple seen at `time_ns`; `introduce` tells for
    /// source and destination whether to say all that is known. What is said of a process again and
    /// again is kept in `phrases`.
    pub fn full(
        &self,
        verdict: &Verdict,
        (tuple, time_ns): (Option<FiveTuple>, i64),
        introduce: [bool; 2],
        phrases: &mut Phrases,
        out: &mut String,
    ) {
        phrases.tidy();
        let [introduce_src, introduce_dst] = introduce;
        let keys = [(&verdict.src, introduce_src, true), (&verdict.dst, introduce_dst, false)].map(
            |(side, introduce, is_source)| {
                let key = if introduce { None } else { self.phrase_key(side, is_source) };
                if let Some(key) = key {
                    phrases.keep(key, || self.full_side(side, false));
                }
                key
            },
        );
        let side = |side: &SideVerdict, key: Option<PhraseKey>, introduce| match *side {
            SideVerdict::Named { found, .. } if key.is_some() => {
                Side { found: Some(found), ..Side::default() }
            }
            _ => self.full_side(side, introduce),
        };
        let mut annotation = Annotation {
            src: side(&verdict.src, keys[0], introduce_src),
            dst: side(&verdict.dst, keys[1], introduce_dst),
            ..Annotation::default()
        };
        let settled = [verdict.src, verdict.dst].into_iter().find_map(|side| match side {
            SideVerdict::Named { holder, found, .. } => Some((holder, found)),
            SideVerdict::Unnamed(_) => None,
        });
        if let Some((holder, found)) = settled {
            let (event, event_ns) = self.settling_event(holder, found);
            annotation.event = Some(event);
            annotation.offset_us = Some(time_ns.saturating_sub(event_ns) / 1000);
            let life = self.life(holder);
            annotation.latency_us = life.latency_us;
            annotation.retransmits = life.retransmits.filter(|&count| count > 0);
        }
        annotation.nat = tuple.and_then(|tuple| self.translation(verdict, tuple));
        annotation.encode_with(keys.map(|key| key.and_then(|key| phrases.get(&key))), out);
    }

    /// What the phrase about a process that was introduced depends on.
    fn phrase_key(&self, side: &SideVerdict, is_source: bool) -> Option<PhraseKey> {
        let SideVerdict::Named { holder, owner, via, .. } = *side else { return None };
        Some(PhraseKey { is_source, owner, tid: self.thread(holder, owner), via })
    }

    /// Appends the brief form.
    pub fn brief(&self, verdict: &Verdict, out: &mut String) {
        let annotation = Annotation {
            src: self.brief_side(&verdict.src),
            dst: self.brief_side(&verdict.dst),
            ..Annotation::default()
        };
        annotation.encode(out);
    }

    /// Process and thread that sent the packet, for `epb_processid_threadid`.
    #[must_use]
    pub fn originator(&self, verdict: &Verdict) -> Option<(u32, u32)> {
        let SideVerdict::Named { holder, owner, .. } = verdict.src else { return None };
        let pid = self.recordings.identity(owner).pid;
        Some((pid, self.thread(holder, owner).unwrap_or(pid)))
    }

    /// The socket that an end was found by.
    pub(crate) fn life(&self, holder: Holder) -> Life {
        self.recordings.life(self.life_id(holder))
    }

    fn life_id(&self, holder: Holder) -> LifeId {
        match holder {
            Holder::Conversation(id) => self.recordings.conversations.life(id),
            Holder::Listener(id) => self.recordings.listener(id).life,
        }
    }

    /// All that is known of one end.
    pub(crate) fn whole_side(&self, side: &SideVerdict) -> Side<'a> {
        self.full_side(side, true)
    }

    /// The row that decided: the close for a late packet, else the one that named the peer.
    pub(crate) fn settling_event(&self, holder: Holder, found: Match) -> (Kind, i64) {
        let life = self.life(holder);
        match (life.closed, holder) {
            (Some(closed), _) if found.rule == Rule::Late => (closed, life.end_ns),
            (_, Holder::Conversation(id)) => {
                let conversation = self.recordings.conversation(id);
                (conversation.opened, conversation.opened_ns)
            }
            (_, Holder::Listener(id)) => (life.opened, self.recordings.listener(id).from_ns),
        }
    }

    /// The translation between the packet's address and the socket's, of the first end that was
    /// found through one: `10.0.0.1:4443>172.17.0.2:8080`.
    fn translation(&self, verdict: &Verdict, tuple: FiveTuple) -> Option<Cow<'a, str>> {
        let ends = [(verdict.dst, tuple.dst, tuple.src), (verdict.src, tuple.src, tuple.dst)];
        ends.into_iter().find_map(|(side, near, far)| {
            let SideVerdict::Named { holder: Holder::Conversation(id), found, .. } = side else {
                return None;
            };
            if !found.nat {
                return None;
            }
            let socket = self.recordings.conversation(id).tuple;
            let (seen, real) =
                if near == socket.src { (far, socket.dst) } else { (near, socket.src) };
            Some(format!("{seen}>{real}").into())
        })
    }

    /// The thread of the socket's own row, if that row was `owner`'s.
    fn thread(&self, holder: Holder, owner: IdentityId) -> Option<u32> {
        self.recordings.lives.thread_of(self.life_id(holder), owner)
    }

    fn full_side(&self, side: &SideVerdict, introduce: bool) -> Side<'a> {
        let (holder, owner, found, via) = match *side {
            SideVerdict::Named { holder, owner, found, via } => (holder, owner, found, via),
            SideVerdict::Unnamed(reason) => {
                return Side { none: Some(reason), ..Side::default() };
            }
        };
        let identity = self.recordings.identity(owner);
        let mut process = Process {
            tid: self.thread(holder, owner).filter(|&tid| tid != identity.pid),
            ..self.full_process(identity)
        };
        if introduce {
            let namespace = self.life(holder).namespace;
            process = Process {
                cmdline: self.text(identity.cmdline),
                gid: identity.gid,
                ppid: identity.ppid,
                pcomm: self.text(identity.parent_comm),
                pexe: self.text(identity.parent_exe),
                netns: namespace.and_then(|id| self.recordings.places.namespace(id).inode),
                host: self.host(identity.host),
                ..process
            };
        }
        Side { process, via: self.full_via(via), found: Some(found), ..Side::default() }
    }

    fn full_process(&self, identity: &Identity) -> Process<'a> {
        Process {
            exe: self.text(identity.exe),
            uid: identity.uid,
            user: self.text(identity.user),
            container_id: self.text(identity.container_id),
            image: self.text(identity.container_image),
            ..self.brief_process(identity)
        }
    }

    fn full_via(&self, via: Via) -> Option<Box<annotation::Via<'a>>> {
        let via = match via {
            Via::Nobody => return None,
            Via::Process { owner, nat } => annotation::Via {
                process: self.full_process(self.recordings.identity(owner)),
                found: Some(Match { nat, rule: Rule::Proxy }),
                none: None,
            },
            Via::Container(container, reason) => annotation::Via {
                process: container.map_or_else(Process::default, |id| {
                    let container = self.recordings.places.container(id);
                    Process {
                        container_id: self.text(container.id),
                        container_name: self.text(container.name),
                        image: self.text(container.image),
                        pod: self.text(container.pod),
                        ..Process::default()
                    }
                }),
                found: None,
                none: Some(reason),
            },
        };
        Some(Box::new(via))
    }

    fn brief_process(&self, identity: &Identity) -> Process<'a> {
        Process {
            pid: Some(identity.pid),
            comm: self.text(identity.comm),
            container_name: self.text(identity.container_name),
            pod: self.text(identity.pod),
            proc: Some(identity.proc),
            ..Process::default()
        }
    }

    fn brief_side(&self, side: &SideVerdict) -> Side<'a> {
        let (owner, found, via) = match *side {
            SideVerdict::Named { owner, found, via, .. } => (owner, found, via),
            SideVerdict::Unnamed(reason) => {
                let none = Some(reason).filter(|&reason| reason != Reason::Remote);
                return Side { none, ..Side::default() };
            }
        };
        let process = self.brief_process(self.recordings.identity(owner));
        let found = Some(found).filter(|&found| found != Match::EXACT);
        // The number is enough, where there is one: the full form has said the rest.
        let via = match via {
            Via::Process { owner, .. } => Some(Box::new(annotation::Via {
                process: Process {
                    proc: Some(self.recordings.identity(owner).proc),
                    ..Process::default()
                },
                ..annotation::Via::default()
            })),
            Via::Nobody | Via::Container(..) => None,
        };
        Side { process, via, found, ..Side::default() }
    }

    fn text(&self, id: TextId) -> Option<Cow<'a, str>> {
        self.recordings.texts.get(id).filter(|text| !text.is_empty()).map(Cow::Borrowed)
    }

    fn host(&self, id: HostId) -> Option<Cow<'a, str>> {
        let host = self.recordings.hosts.get(usize::from(id.0))?;
        (!host.name.is_empty()).then_some(Cow::Borrowed(host.name.as_str()))
    }
}
