//! Third stage of a chunk: its bytes, with the annotations added. Whatever is not annotated is
//! copied as it stands, in runs as long as possible.

use schema::annotation::option::ByteOrder;

use crate::block::packet::{Added, PacketBlock};
use crate::chunk::{Chunk, Item};
use crate::examine::{Examined, Examiner};
use crate::extra::edits::{Edit, Extras};
use crate::label::{Labels, Rendered};
use crate::lengths::{Header, Lengths};
use crate::mark::{Decisions, Mark};
use crate::render::Phrases;
use crate::sequence::Form;

/// Bytes of room that are kept for the next piece: what the shortest packets grow to, each with a long
/// text, fits.
const MOST_KEPT: usize = 32 << 20;

/// Pieces of the output, and what they add up to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What goes to the file.
    pub(crate) bytes: Vec<u8>,
    /// Packets that carry an annotation now.
    pub(crate) annotated: u64,
    /// Bytes by which packets grew (or shrank, where an older annotation was longer).
    pub(crate) growth: i64,
    /// Section headers in it.
    pub(crate) headers: Vec<Header>,
    /// Packets that were copied without their annotation, because their options are cut.
    pub(crate) cut_options: u64,
    /// The full options of the packet at hand.
    full: Rendered,
    text: String,
    phrases: Phrases,
}

/// Renders the packets of one chunk.
struct Rendering<'a, 'b> {
    examiner: &'a Examiner,
    chunk: Chunk<'a>,
    labels: &'a Labels<'b>,
    order: ByteOrder,
    /// An option that no packet keeps.
    left_out: Option<u16>,
}

impl Output {
    /// Makes room for the next piece.
    pub(crate) fn clear(&mut self) {
        let Self { bytes, annotated, growth, headers, cut_options, .. } = self;
        bytes.clear();
        if bytes.capacity() > MOST_KEPT {
            *bytes = vec![];
        }
        headers.clear();
        (*annotated, *growth, *cut_options) = (0, 0, 0);
    }

    /// Appends the bytes of `chunk`, about whose packets was decided what `decisions` says, and which
    /// get `forms`: one for each.
    pub(crate) fn render(
        &mut self,
        (examiner, extras, lengths): (&Examiner, &Extras, Lengths<'_>),
        chunk: Chunk<'_>,
        (decisions, forms): (&Decisions, &[Form]),
        labels: &Labels<'_>,
    ) {
        let input = chunk.bytes();
        self.bytes.reserve(input.len() + input.len() / 4);
        let (order, left_out) = (chunk.order(), extras.left_out());
        let rendering = Rendering { examiner, chunk, labels, order, left_out };
        let mut own = decisions.own.iter().peekable();
        let begin = chunk.offset();
        let mut edits = extras.within(begin..begin + input.len() as u64);
        // What belongs behind the section before stands before the header of this one.
        let before = edits.iter().take_while(|edit| edit.range == (begin..begin));
        let at = self.bytes.len() + before.map(|edit| edit.bytes.len()).sum::<usize>();
        let header = Header::of(&chunk, at);
        // Bytes before it are in the output.
        let mut copied = 0;
        for ((position, mark), form) in (0..).zip(&decisions.marks).zip(forms) {
            let known = own.next_if(|(own, _)| *own == position).map(|(_, examined)| examined);
            let (at, end) = (mark.at as usize, mark.at as usize + mark.length as usize);
            while let Some((edit, rest)) = edits.split_first()
                && edit.range.start <= begin + u64::from(mark.at)
            {
                copied = self.edit(edit, &chunk, copied);
                edits = rest;
            }
            if !mark.is_bare {
                let before = input.get(copied..at).unwrap_or_default();
                if self.other(&rendering, (mark, known), *form, before) {
                    copied = end;
                }
                continue;
            }
            match form {
                Form::Nothing => continue,
                Form::Brief => {
                    let options = labels.get(mark.label).options.whole();
                    self.append(&input[copied..end], mark.length, rendering.order, options);
                }
                Form::Full { introduce_src, introduce_dst } => {
                    let introduce = [*introduce_src, *introduce_dst];
                    let options = self.full(&rendering, (mark, known), introduce);
                    self.append(&input[copied..end], mark.length, rendering.order, options.whole());
                    self.full = options;
                }
            }
            copied = end;
        }
        for edit in edits {
            copied = self.edit(edit, &chunk, copied);
        }
        self.bytes.extend_from_slice(input.get(copied..).unwrap_or_default());
        if let (Some(header), Lengths::Dropped) = (&header, lengths) {
            header.drop_length(&mut self.bytes);
        }
        self.headers.extend(header);
    }

    /// Appends what stands before `edit`, from byte `copied` of the chunk on, and what takes the place
    /// of what it is for; what is in the output by then.
    #[inline(never)]
    fn edit(&mut self, edit: &Edit, chunk: &Chunk<'_>, copied: usize) -> usize {
        let place =
            |position: u64| usize::try_from(position - chunk.offset()).unwrap_or(usize::MAX);
        let (begin, end) = (place(edit.range.start), place(edit.range.end));
        self.bytes.extend_from_slice(chunk.bytes().get(copied..begin).unwrap_or_default());
        self.bytes.extend_from_slice(&edit.bytes);
        end
    }

    /// Appends `before` and a packet that has options, or is no block; `false` if it is to be copied
    /// as it stands, with what is around it.
    #[inline(never)]
    fn other(
        &mut self,
        rendering: &Rendering<'_, '_>,
        packet: (&Mark, Option<&Examined>),
        form: Form,
        before: &[u8],
    ) -> bool {
        let (mark, left_out) = (packet.0, rendering.left_out);
        let Some(item) = rendering.chunk.item(mark.at as usize) else { return false };
        // What an earlier run left is to be replaced.
        let is_kept = match item {
            Item::Block(block, _) => {
                form == Form::Nothing && left_out.is_none() && block.own_comment().is_none()
            }
            Item::Record(..) => false,
            Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => true,
        };
        if is_kept {
            return false;
        }
        let mut full = None;
        let added = match form {
            Form::Nothing => Added::default(),
            Form::Brief => rendering.labels.get(mark.label).options.added(),
            Form::Full { introduce_src, introduce_dst } => {
                let introduce = [introduce_src, introduce_dst];
                full.insert(self.full(rendering, packet, introduce)).added()
            }
        };
        self.bytes.extend_from_slice(before);
        match item {
            Item::Block(block, _) => self.rewrite(&block, added, left_out),
            Item::Record(record, _) => {
                record.write(added, &mut self.bytes);
                let grown = added.process.len() + added.comment.len();
                if grown > 0 {
                    self.annotated += 1;
                    // The options' end mark belongs to the growth.
                    self.growth += signed(grown + 4);
                }
            }
            Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => {}
        }
        if let Some(full) = full {
            self.full = full;
        }
        true
    }

    /// Appends what ends with a block of `length` bytes that has no options, and gives it some.
    #[inline]
    fn append(&mut self, bytes: &[u8], length: u32, order: ByteOrder, options: &[u8]) {
        let more = u32::try_from(options.len()).unwrap_or(u32::MAX);
        let length_bytes = order.u32_bytes(length.saturating_add(more));
        let start = self.bytes.len() + bytes.len() - length as usize;
        self.bytes.extend_from_slice(&bytes[..bytes.len() - 4]);
        self.bytes.extend_from_slice(options);
        self.bytes.extend_from_slice(&length_bytes);
        self.bytes[start + 4..start + 8].copy_from_slice(&length_bytes);
        self.annotated += 1;
        self.growth += i64::from(more);
    }

    /// Appends a block whose options stay but ours, and what is to be left out.
    fn rewrite(&mut self, packet: &PacketBlock<'_>, added: Added<'_>, left_out: Option<u16>) {
        let start = self.bytes.len();
        if packet.rewrite(added, left_out, &mut self.bytes) {
            self.annotated += u64::from(!added.comment.is_empty());
            self.growth += signed(self.bytes.len() - start) - signed(packet.bytes().len());
        } else {
            self.bytes.extend_from_slice(packet.bytes());
            self.cut_options += 1;
        }
    }

    fn full(
        &mut self,
        rendering: &Rendering<'_, '_>,
        (mark, known): (&Mark, Option<&Examined>),
        introduce: [bool; 2],
    ) -> Rendered {
        let Rendering { examiner, chunk, labels, order, .. } = rendering;
        let again = || {
            // Decided like another one; the same comes out again.
            let position = chunk.offset() + u64::from(mark.at);
            let item = chunk.item(mark.at as usize).unwrap_or(Item::Malformed(&[]));
            examiner.one(&item, chunk.boot_id(), position)
        };
        let Examined { verdict, tuple, time_ns, .. } = known.copied().unwrap_or_else(again);
        self.text.clear();
        let when = (tuple, time_ns);
        labels.renderer().full(&verdict, when, introduce, &mut self.phrases, &mut self.text);
        let memory = std::mem::take(&mut self.full).into_bytes();
        let sender = (labels.originator(&verdict), labels.ordinal(&verdict));
        Rendered::new(sender, &self.text, *order, memory)
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
