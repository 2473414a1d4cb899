//! What is written on the packets that follow the first of their flow: rendered once for all that say
//! the same, and counted by it.

use hashbrown::HashMap;
use schema::annotation::option::{self, ByteOrder, OPT_COMMENT};
use schema::annotation::{Match, Reason};

use crate::attribute::{SideVerdict, Verdict, Via};
use crate::block::packet::Added;
use crate::config::Style;
use crate::events::IdentityId;
use crate::extra::native::{self, Processes};
use crate::render::Renderer;
use crate::summary::Counts;

/// Labels that are kept; at some 200 bytes each that is a few MB.
const ENOUGH: usize = 1 << 15;

/// Position of a label.
pub(crate) type LabelId = u32;

/// What a label says of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SideKey {
    Named(IdentityId, Match, Via),
    Unnamed(Reason),
}

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: SideKey,
    dst: SideKey,
    /// The thread in `epb_processid_threadid`, which is the socket's own.
    originator: Option<(u32, u32)>,
    order: ByteOrder,
}

impl SideKey {
    fn new(side: &SideVerdict) -> Self {
        match *side {
            SideVerdict::Named { owner, found, via, .. } => Self::Named(owner, found, via),
            SideVerdict::Unnamed(reason) => Self::Unnamed(reason),
        }
    }
}

/// Rendered options, process first, with the mark that ends them.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    bytes: Vec<u8>,
    process: usize,
}

impl Rendered {
    /// The options of a packet about which `verdict` says `comment`.
    /// `ordinal` is that of the sender's process block, if there are such.
    pub(crate) fn new(
        (originator, ordinal): (Option<(u32, u32)>, Option<u32>),
        comment: &str,
        order: ByteOrder,
        mut bytes: Vec<u8>,
    ) -> Self {
        bytes.clear();
        if let Some((pid, tid)) = originator {
            option::append_process_thread(pid, tid, order, &mut bytes);
        }
        let process = bytes.len();
        option::append(OPT_COMMENT, comment.as_bytes(), order, &mut bytes);
        if let Some(ordinal) = ordinal {
            native::append_option(ordinal, &mut bytes);
        }
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, process }
    }

    /// All of it, the end mark included.
    #[inline]
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
    }

    /// Its options.
    pub(crate) fn added(&self) -> Added<'_> {
        let end = self.bytes.len().saturating_sub(4);
        let (process, comment) = self.bytes[..end].split_at(self.process);
        Added { process, comment }
    }

    /// The memory, to be used again.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// One label.
#[derive(Debug)]
pub(crate) struct Label {
    /// A decision that is labelled so.
    pub(crate) verdict: Verdict,
    /// Nothing, where nobody is named.
    pub(crate) options: Rendered,
    /// Packets that were decided so.
    packets: u64,
}

/// All labels of one worker.
#[derive(Debug)]
pub(crate) struct Labels<'a> {
    renderer: Renderer<'a>,
    style: Style,
    processes: Option<&'a Processes>,
    ids: HashMap<Key, LabelId>,
    all: Vec<Label>,
    text: String,
    /// Packets of labels that were forgotten.
    forgotten: Counts,
}

impl<'a> Labels<'a> {
    /// None yet.
    pub(crate) fn new(renderer: Renderer<'a>, style: Style) -> Self {
        let (ids, all, text) = Default::default();
        let (processes, forgotten) = (None, Counts::default());
        Self { renderer, style, processes, ids, all, text, forgotten }
    }

    /// Has packets refer to the blocks of `processes`, if there are such.
    pub(crate) fn refer_to(&mut self, processes: Option<&'a Processes>) {
        self.processes = processes;
    }

    /// Whether so many are kept that they are better forgotten.
    pub(crate) fn are_enough(&self) -> bool {
        self.all.len() >= ENOUGH
    }

    /// Forgets all labels but what they counted.
    pub(crate) fn clear(&mut self) {
        self.forgotten = self.counts();
        self.ids.clear();
        self.all.clear();
    }

    /// The label of packets that were decided as `verdict`, in a section of byte order `order`.
    pub(crate) fn of(&mut self, verdict: &Verdict, order: ByteOrder) -> LabelId {
        let originator = self.originator(verdict);
        let [src, dst] = [&verdict.src, &verdict.dst].map(SideKey::new);
        let key = Key { src, dst, originator, order };
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        let options = if verdict.is_named() {
            self.text.clear();
            self.renderer.brief(verdict, &mut self.text);
            let sender = (originator, self.ordinal(verdict));
            Rendered::new(sender, &self.text, order, vec![])
        } else {
            Rendered::default()
        };
        let id = LabelId::try_from(self.all.len()).unwrap_or(LabelId::MAX);
        self.all.push(Label { verdict: *verdict, options, packets: 0 });
        self.ids.insert(key, id);
        id
    }

    /// Who sent the packet, if that is to be written in the standard option.
    pub(crate) fn originator(&self, verdict: &Verdict) -> Option<(u32, u32)> {
        self.style.pid_option.then(|| self.renderer.originator(verdict)).flatten()
    }

    /// The number of the sender's process block, if there are such.
    pub(crate) fn ordinal(&self, verdict: &Verdict) -> Option<u32> {
        let SideVerdict::Named { owner, .. } = verdict.src else { return None };
        self.processes?.ordinal(owner)
    }

    pub(crate) fn renderer(&self) -> Renderer<'a> {
        self.renderer
    }

    /// The label `id`, which must come from here.
    #[inline]
    pub(crate) fn get(&self, id: LabelId) -> &Label {
        &self.all[id as usize]
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn count(&mut self, id: LabelId) {
        self.all[id as usize].packets += 1;
    }

    /// All packets that were counted.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.forgotten;
        for label in &self.all {
            counts.add_many(&label.verdict, label.packets);
        }
        counts
    }
}
