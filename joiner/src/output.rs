//! Third stage of a chunk: its bytes, with the annotations added. Whatever is not annotated is
//! copied as it stands, in runs as long as possible.

use std::sync::Mutex;

use hashbrown::HashMap;
use schema::annotation::option::{self, ByteOrder, OPT_COMMENT};

use crate::attribute::{Matcher, Verdict};
use crate::block::packet::Added;
use crate::chunk::{Chunk, Framing, Item};
use crate::config::Style;
use crate::examine::Examined;
use crate::render::Renderer;
use crate::sequence::Form;

/// Brief forms a worker keeps; at some 100 bytes each that is a few MB.
const MAX_CACHED: usize = 32_768;

/// A chunk, ready to be written.
#[derive(Debug)]
pub struct Rendered {
    /// What goes to the file.
    pub bytes: Vec<u8>,
    /// Packets that carry an annotation now.
    pub annotated: u64,
    /// Bytes by which packets grew (or shrank, where an older annotation was longer).
    pub growth: i64,
    /// Packets that were copied without their annotation, because their options are cut.
    pub cut_options: u64,
}

/// Renders chunks; one is used by one worker at a time.
#[derive(Debug, Default)]
pub struct Worker {
    /// Brief options by what they say.
    brief: HashMap<(Verdict, ByteOrder), Options>,
    /// The full options of the packet at hand.
    full: Options,
    text: String,
}

/// Rendered options, process first.
#[derive(Debug, Default)]
struct Options {
    bytes: Vec<u8>,
    process: usize,
}

impl Options {
    fn added(&self) -> Added<'_> {
        let (process, comment) = self.bytes.split_at(self.process);
        Added { process, comment }
    }
}

/// Workers that are not at work.
#[derive(Debug, Default)]
pub struct Workers(Mutex<Vec<Worker>>);

impl Workers {
    /// Runs `work` with a worker that has its caches warm, if there is one.
    pub fn with<T>(&self, work: impl FnOnce(&mut Worker) -> T) -> T {
        let mut worker = self.0.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default();
        let result = work(&mut worker);
        if let Ok(mut idle) = self.0.lock() {
            idle.push(worker);
        }
        result
    }
}

impl Worker {
    /// The bytes of `chunk`, whose packets were decided as `packets` and get `forms`; both have one
    /// entry per packet.
    pub fn render(
        &mut self,
        chunk: &Chunk,
        packets: &[Examined],
        forms: &[Form],
        matcher: &Matcher,
        style: Style,
    ) -> Rendered {
        let input = chunk.bytes();
        let capacity = input.len() + input.len() / 4;
        let mut out = Rendered {
            bytes: Vec::with_capacity(capacity),
            annotated: 0,
            growth: 0,
            cut_options: 0,
        };
        let order = match &*chunk.framing {
            Framing::Pcapng(section) => section.order,
            Framing::Legacy(_) => ByteOrder::Little,
        };
        let mut decided = packets.iter().zip(forms);
        // Bytes before `copied` are in the output; those up to `at` are to be copied.
        let (mut copied, mut at) = (0, 0);
        for item in chunk.items() {
            match item {
                Item::Other(bytes) => at += bytes.len(),
                Item::Simple(bytes) | Item::Malformed(bytes) => {
                    at += bytes.len();
                    decided.next();
                }
                Item::Block(packet, ..) => {
                    let length = packet.bytes().len();
                    let decision = decided.next();
                    let form = decision.map_or(Form::Nothing, |(_, form)| *form);
                    // What an earlier run left is to be replaced.
                    if form != Form::Nothing || packet.own_comment().is_some() {
                        out.bytes.extend_from_slice(&input[copied..at]);
                        let start = out.bytes.len();
                        let added = self.options(decision, matcher, style, order);
                        if packet.rewrite(added, &mut out.bytes) {
                            out.annotated += u64::from(form != Form::Nothing);
                            out.growth += signed(out.bytes.len() - start) - signed(length);
                        } else {
                            out.bytes.extend_from_slice(packet.bytes());
                            out.cut_options += 1;
                        }
                        copied = at + length;
                    }
                    at += length;
                }
                Item::Record(record, _) => {
                    let decision = decided.next();
                    let added = self.options(decision, matcher, style, order);
                    record.write(added, &mut out.bytes);
                    let grown = added.process.len() + added.comment.len();
                    if grown > 0 {
                        out.annotated += 1;
                        // The options' end mark belongs to the growth.
                        out.growth += signed(grown + 4);
                    }
                    at += record.bytes.len();
                    copied = at;
                }
            }
        }
        out.bytes.extend_from_slice(&input[copied..]);
        out
    }

    /// The options for one packet.
    fn options(
        &mut self,
        decision: Option<(&Examined, &Form)>,
        matcher: &Matcher,
        style: Style,
        order: ByteOrder,
    ) -> Added<'_> {
        let Some((packet, form)) = decision else { return Added::default() };
        let renderer = Renderer::new(matcher.recordings());
        let text = &mut self.text;
        match form {
            Form::Nothing => Added::default(),
            Form::Full { introduce_src, introduce_dst } => {
                text.clear();
                let introduce = [*introduce_src, *introduce_dst];
                renderer.full(&packet.verdict, (packet.tuple, packet.time_ns), introduce, text);
                self.full = build(renderer, &packet.verdict, text, style, order);
                self.full.added()
            }
            Form::Brief => {
                if self.brief.len() >= MAX_CACHED {
                    self.brief.clear();
                }
                let options = self.brief.entry((packet.verdict, order)).or_insert_with(|| {
                    text.clear();
                    renderer.brief(&packet.verdict, text);
                    build(renderer, &packet.verdict, text, style, order)
                });
                options.added()
            }
        }
    }
}

fn build(
    renderer: Renderer<'_>,
    verdict: &Verdict,
    comment: &str,
    style: Style,
    order: ByteOrder,
) -> Options {
    let mut options = Options::default();
    if let Some((pid, tid)) = renderer.originator(verdict).filter(|_| style.pid_option) {
        option::append_process_thread(pid, tid, order, &mut options.bytes);
    }
    options.process = options.bytes.len();
    option::append(OPT_COMMENT, comment.as_bytes(), order, &mut options.bytes);
    options
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
