//! Verdicts to the text of a comment. The full form stands on the first packet of a flow and
//! direction; the brief form names the process and refers to the full one by its number. Where a
//! process stands in the file for the first time it is introduced with all that is known of it.

use std::borrow::Cow;

use schema::Kind;
use schema::annotation::{Annotation, Match, Process, Reason, Rule, Side};

use crate::attribute::{SideVerdict, Verdict};
use crate::events::{ConversationId, HostId, Identity, IdentityId, Recordings, TextId};

/// Renders verdicts about packets of one capture.
#[derive(Clone, Copy, Debug)]
pub struct Renderer<'a> {
    recordings: &'a Recordings,
}

impl<'a> Renderer<'a> {
    /// A renderer of verdicts that were reached by `recordings`.
    #[must_use]
    pub const fn new(recordings: &'a Recordings) -> Self {
        Self { recordings }
    }

    /// Appends the full form for a packet seen at `time_ns`; `introduce` tells for source and
    /// destination whether to say all that is known.
    pub fn full(&self, verdict: &Verdict, time_ns: i64, introduce: [bool; 2], out: &mut String) {
        let [introduce_src, introduce_dst] = introduce;
        let mut annotation = Annotation {
            src: self.full_side(&verdict.src, introduce_src),
            dst: self.full_side(&verdict.dst, introduce_dst),
            ..Annotation::default()
        };
        let settled = [verdict.src, verdict.dst].into_iter().find_map(|side| match side {
            SideVerdict::Named { conversation, found, .. } => Some((conversation, found)),
            SideVerdict::Unnamed(_) => None,
        });
        if let Some((conversation, found)) = settled {
            let (event, event_ns) = self.settling_event(conversation, found);
            annotation.event = Some(event);
            annotation.offset_us = Some(time_ns.saturating_sub(event_ns) / 1000);
            let life = self.recordings.life(self.recordings.conversation(conversation).life);
            annotation.latency_us = life.latency_us;
            annotation.retransmits = life.retransmits.filter(|&count| count > 0);
        }
        annotation.encode(out);
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
        let SideVerdict::Named { conversation, owner, .. } = verdict.src else { return None };
        let pid = self.recordings.identity(owner).pid;
        Some((pid, self.thread(conversation, owner).unwrap_or(pid)))
    }

    /// The row that decided: the close for a late packet, else the one that named the peer.
    fn settling_event(&self, id: ConversationId, found: Match) -> (Kind, i64) {
        let conversation = self.recordings.conversation(id);
        let life = self.recordings.life(conversation.life);
        match life.closed {
            Some(closed) if found.rule == Rule::Late => (closed, life.end_ns),
            _ => (conversation.opened, conversation.opened_ns),
        }
    }

    /// The thread of the socket's own row, if that row was `owner`'s.
    fn thread(&self, id: ConversationId, owner: IdentityId) -> Option<u32> {
        let life = self.recordings.life(self.recordings.conversation(id).life);
        life.tid.filter(|_| life.owner == Some(owner))
    }

    fn full_side(&self, side: &SideVerdict, introduce: bool) -> Side<'a> {
        let (conversation, owner, found) = match *side {
            SideVerdict::Named { conversation, owner, found } => (conversation, owner, found),
            SideVerdict::Unnamed(reason) => {
                return Side { none: Some(reason), ..Side::default() };
            }
        };
        let identity = self.recordings.identity(owner);
        let mut process = Process {
            tid: self.thread(conversation, owner).filter(|&tid| tid != identity.pid),
            exe: self.text(identity.exe),
            uid: identity.uid,
            user: self.text(identity.user),
            container_id: self.text(identity.container_id),
            image: self.text(identity.container_image),
            ..self.brief_process(identity)
        };
        if introduce {
            let life = self.recordings.life(self.recordings.conversation(conversation).life);
            process = Process {
                cmdline: self.text(identity.cmdline),
                gid: identity.gid,
                ppid: identity.ppid,
                pcomm: self.text(identity.parent_comm),
                pexe: self.text(identity.parent_exe),
                netns: life.netns,
                host: self.host(identity.host),
                ..process
            };
        }
        Side { process, found: Some(found), ..Side::default() }
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
        let (owner, found) = match *side {
            SideVerdict::Named { owner, found, .. } => (owner, found),
            SideVerdict::Unnamed(reason) => {
                let none = Some(reason).filter(|&reason| reason != Reason::Remote);
                return Side { none, ..Side::default() };
            }
        };
        let process = self.brief_process(self.recordings.identity(owner));
        let found = Some(found).filter(|&found| found != Match::EXACT);
        Side { process, found, ..Side::default() }
    }

    fn text(&self, id: TextId) -> Option<Cow<'a, str>> {
        self.recordings.texts.get(id).filter(|text| !text.is_empty()).map(Cow::Borrowed)
    }

    fn host(&self, id: HostId) -> Option<Cow<'a, str>> {
        let host = self.recordings.hosts.get(usize::from(id.0))?;
        (!host.name.is_empty()).then_some(Cow::Borrowed(host.name.as_str()))
    }
}
