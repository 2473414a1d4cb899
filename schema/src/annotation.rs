//! What an enriched packet says: one line of `key=value`, in a comment. This module owns the keys,
//! their order and their types; [`escape`] owns the spelling of values, [`found`] the words for how
//! a name was found or why there is none, [`option`] the pcapng option around the text.
//!
//! ```text
//! ebpf src.pid=4242 src.comm=curl src.proc=3 dst.pid=77 dst.comm=nginx dst.proc=7 src.match=early event=tcp_connect
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

pub mod escape;
pub mod found;
pub mod option;

pub use self::found::{Match, Reason, Rule};
use crate::kind::Kind;

/// First word of every comment of ours; of somebody else's, too: see [`is_ours`].
pub const PREFIX: &str = "ebpf";

/// Longest comment, in bytes: an option's length has 16 bits.
pub const MAX_COMMENT: usize = u16::MAX as usize;

/// Hands the keys of one side to `$callback`, in the order in which they are written.
macro_rules! for_each_side_key {
    ($callback:ident) => {
        $callback! {
            [pid Number "Process id."]
            [tid Number "Thread id."]
            [comm Text "Process name."]
            [exe Text "Path of the program."]
            [cmdline Text "Arguments."]
            [uid Number "User id."]
            [gid Number "Group id."]
            [user Text "User name."]
            [ppid Number "The father's pid."]
            [pcomm Text "The father's name."]
            [pexe Text "The father's program."]
            [container_id Text "Container id."]
            [container_name Text "Container name."]
            [image Text "Image the container runs."]
            [pod Text "Pod, as namespace/name."]
            [netns Wide "Inode of the socket's network namespace."]
            [host Text "Host the process runs on."]
            [proc Number "Number of the process within this file."]
        }
    };
}

macro_rules! value_type {
    (Number) => { u32 };
    (Wide) => { u64 };
    (Text) => { Cow<'a, str> };
}

macro_rules! parse_value {
    (Number $text:expr) => {
        $text.parse().ok()
    };
    (Wide $text:expr) => {
        $text.parse().ok()
    };
    (Text $text:expr) => {
        Some(escape::decode($text))
    };
}

macro_rules! write_value {
    (Text $out:expr, $value:expr) => {
        escape::encode($value, $out)
    };
    ($kind:ident $out:expr, $value:expr) => {{
        // Writing to a String cannot fail.
        let _ = write!($out, "{}", $value);
    }};
}

macro_rules! define_process {
    ($([$name:ident $kind:ident $doc:literal])*) => {
        /// What is known of one process. Unknown values are left out.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Process<'a> {
            $(#[doc = $doc] pub $name: Option<value_type!($kind)>,)*
        }

        impl<'a> Process<'a> {
            /// Every key, in the order in which they are written.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($name)),*];

            fn set(&mut self, key: &str, text: &'a str) {
                match key {
                    $(stringify!($name) => self.$name = parse_value!($kind text),)*
                    _ => {} // a later version's key
                }
            }

            fn write(&self, side: &str, out: &mut String) {
                $(if let Some(value) = &self.$name {
                    write_key(side, stringify!($name), out);
                    write_value!($kind out, value);
                })*
            }

            /// Calls `visit` with every key that has a value.
            pub fn visit(&self, mut visit: impl FnMut(&'static str, Value<'_>)) {
                $(if let Some(value) = &self.$name {
                    visit(stringify!($name), as_value!($kind value));
                })*
            }

            /// This with what it lacks taken from `other`.
            #[must_use]
            pub fn or(self, other: &Self) -> Self {
                Self { $($name: self.$name.or_else(|| other.$name.clone()),)* }
            }

            /// The same, independent of the text it was read from.
            #[must_use]
            pub fn into_owned(self) -> Process<'static> {
                Process { $($name: own!($kind self.$name),)* }
            }
        }
    };
}

/// The value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// Text, not escaped.
    Text(&'a str),
}

macro_rules! as_value {
    (Text $value:expr) => {
        Value::Text($value)
    };
    ($kind:ident $value:expr) => {
        Value::Number((*$value).into())
    };
}

macro_rules! own {
    (Text $value:expr) => {
        $value.map(|text| Cow::Owned(text.into_owned()))
    };
    ($kind:ident $value:expr) => {
        $value
    };
}
for_each_side_key!(define_process);

/// The far process behind a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via<'a> {
    /// What is known of it; of the container alone, where only that is certain.
    pub process: Process<'a>,
    /// How it was found.
    pub found: Option<Match>,
    /// Why it has no name.
    pub none: Option<Reason>,
}

/// One end of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side<'a> {
    /// The process at this end.
    pub process: Process<'a>,
    /// The process behind it, if it is a proxy.
    pub via: Option<Box<Via<'a>>>,
    /// How it was found.
    pub found: Option<Match>,
    /// Why it has no name.
    pub none: Option<Reason>,
}

impl Side<'_> {
    /// Appends what a comment says of the processes at this end.
    pub fn encode_processes(&self, is_source: bool, out: &mut String) {
        let (name, via_name) = if is_source { ("src.", "src.via.") } else { ("dst.", "dst.via.") };
        self.process.write(name, out);
        if let Some(via) = &self.via {
            via.process.write(via_name, out);
            write_outcome(via_name, via.found, via.none, out);
        }
    }

    /// How the process was found, or why there is none. A reader assumes `exact` and `remote`
    /// where a brief comment leaves them out.
    ///
    /// # Errors
    ///
    /// The reason why this end has no name.
    pub fn outcome(&self) -> Result<Match, Reason> {
        match (self.found, self.none) {
            (_, Some(reason)) => Err(reason),
            (Some(found), None) => Ok(found),
            (None, None) if self.process.pid.is_some() => Ok(Match::EXACT),
            (None, None) => Err(Reason::Remote),
        }
    }
}

/// All that is said of one packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation<'a> {
    /// The sending end.
    pub src: Side<'a>,
    /// The receiving end.
    pub dst: Side<'a>,
    /// The event that settled it.
    pub event: Option<Kind>,
    /// Connect to established, microseconds.
    pub latency_us: Option<u32>,
    /// Segments sent again in the socket's life.
    pub retransmits: Option<u32>,
    /// The translation: `10.0.0.1:4443>172.17.0.2:8080`.
    pub nat: Option<Cow<'a, str>>,
    /// Packet time less event time, microseconds.
    pub offset_us: Option<i64>,
}

impl<'a> Annotation<'a> {
    /// Appends the comment to `out`. Where it would not fit an option, the longest values are left
    /// out.
    pub fn encode(&self, out: &mut String) {
        self.encode_with([None; 2], out);
    }

    /// The same, where [`encode_processes`](Side::encode_processes) has made text of who is at either
    /// end already: then what this says of their processes is not looked at.
    pub fn encode_with(&self, processes: [Option<&str>; 2], out: &mut String) {
        let start = out.len();
        out.push_str(PREFIX);
        let [src, dst] = processes;
        for (is_source, side, text) in [(true, &self.src, src), (false, &self.dst, dst)] {
            match text {
                Some(text) => out.push_str(text),
                None => side.encode_processes(is_source, out),
            }
        }
        write_outcome("src.", self.src.found, self.src.none, out);
        write_outcome("dst.", self.dst.found, self.dst.none, out);
        if let Some(event) = self.event {
            write_key("", "event", out);
            out.push_str(event.as_str());
        }
        if let Some(latency) = self.latency_us {
            write_key("", "latency_us", out);
            write_value!(Number out, latency);
        }
        if let Some(retransmits) = self.retransmits {
            write_key("", "retransmits", out);
            write_value!(Number out, retransmits);
        }
        if let Some(nat) = &self.nat {
            write_key("", "nat", out);
            escape::encode(nat, out);
        }
        if let Some(offset) = self.offset_us {
            write_key("", "offset_us", out);
            write_value!(Number out, offset);
        }
        if out.len() - start > MAX_COMMENT {
            let shorter = leave_out_longest(&out[start..]);
            out.truncate(start);
            out.push_str(&shorter);
        }
    }

    /// Reads a comment; `None` if it is not [one of ours](is_ours). Keys and words of later versions
    /// are ignored.
    #[must_use]
    pub fn decode(comment: &'a str) -> Option<Self> {
        if !is_ours(comment.as_bytes()) {
            return None;
        }
        let mut annotation = Self::default();
        for (key, value) in comment.split(' ').filter_map(|word| word.split_once('=')) {
            if let Some(key) = key.strip_prefix("src.") {
                annotation.src.set(key, value);
            } else if let Some(key) = key.strip_prefix("dst.") {
                annotation.dst.set(key, value);
            } else {
                match key {
                    "event" => annotation.event = Kind::from_text(value),
                    "latency_us" => annotation.latency_us = value.parse().ok(),
                    "retransmits" => annotation.retransmits = value.parse().ok(),
                    "nat" => annotation.nat = Some(escape::decode(value)),
                    "offset_us" => annotation.offset_us = value.parse().ok(),
                    _ => {} // a later version's key
                }
            }
        }
        Some(annotation)
    }
}

impl<'a> Side<'a> {
    fn set(&mut self, key: &str, value: &'a str) {
        if let Some(key) = key.strip_prefix("via.") {
            let via = self.via.get_or_insert_default();
            match key {
                "match" => via.found = Match::from_text(value),
                "none" => via.none = Reason::from_text(value),
                _ => via.process.set(key, value),
            }
            return;
        }
        match key {
            "match" => self.found = Match::from_text(value),
            "none" => self.none = Reason::from_text(value),
            _ => self.process.set(key, value),
        }
    }
}

/// Whether a comment is one of ours: [`PREFIX`], and nothing but `key=value` behind it, of which we know
/// at least one key. `ebpf probe fires here, see ticket 12` is a person's.
#[must_use]
pub fn is_ours(comment: &[u8]) -> bool {
    let Some(words) =
        comment.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.strip_prefix(b" "))
    else {
        return false;
    };
    let Ok(words) = std::str::from_utf8(words) else { return false };
    let is_key_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
    let mut has_known = false;
    for word in words.split(' ') {
        match word.split_once('=') {
            Some((key, _)) if !key.is_empty() && key.bytes().all(is_key_byte) => {
                has_known = has_known || is_known(key);
            }
            _ => return false,
        }
    }
    has_known
}

fn is_known(key: &str) -> bool {
    let Some(key) = key.strip_prefix("src.").or_else(|| key.strip_prefix("dst.")) else {
        return matches!(key, "event" | "latency_us" | "retransmits" | "nat" | "offset_us");
    };
    let key = key.strip_prefix("via.").unwrap_or(key);
    matches!(key, "match" | "none") || Process::KEYS.contains(&key)
}

fn write_key(side: &str, name: &str, out: &mut String) {
    out.push(' ');
    out.push_str(side);
    out.push_str(name);
    out.push('=');
}

fn write_outcome(side: &str, found: Option<Match>, none: Option<Reason>, out: &mut String) {
    if let Some(found) = found {
        write_key(side, "match", out);
        write_value!(Number out, found);
    }
    if let Some(none) = none {
        write_key(side, "none", out);
        out.push_str(none.as_str());
    }
}

/// `comment` without its longest words, so that the rest fits.
fn leave_out_longest(comment: &str) -> String {
    let mut words: Vec<&str> = comment.split(' ').collect();
    let mut length = comment.len();
    while length > MAX_COMMENT {
        let longest = (1..words.len()).max_by_key(|&i| words[i].len());
        let Some(longest) = longest else { break };
        length -= words.remove(longest).len() + 1;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;
