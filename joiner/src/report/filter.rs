//! Wireshark display filters that show what a row of the page tells of. The fields `ebpf.*` are the
//! plugin's; values are text of processes, and quoted so that none can become syntax.

use std::fmt::Write as _;
use std::net::IpAddr;

use schema::{Endpoint, Proto};

use super::text::is_invisible;

/// Bytes of a value that a filter names; a longer one gets none.
const MAX_VALUE: usize = 200;

/// Which ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender.
    Src,
    /// The receiver.
    Dst,
    /// Any of both.
    Either,
}

impl End {
    fn field(self, key: &str) -> String {
        match self {
            Self::Src => format!("ebpf.src.{key}"),
            Self::Dst => format!("ebpf.dst.{key}"),
            Self::Either => format!("ebpf.{key}"),
        }
    }
}

/// `ebpf.src.comm == "curl"`; `None` if the value is too long to be typed.
#[must_use]
pub fn text(end: End, key: &str, value: &str) -> Option<String> {
    if value.len() > MAX_VALUE {
        return None;
    }
    let mut out = end.field(key);
    out.push_str(" == \"");
    for ch in value.chars() {
        match ch {
            '"' | '\\' => {
                out.push('\\');
                out.push(ch);
            }
            // Byte by byte, as every version of Wireshark understands it.
            _ if is_invisible(ch) => {
                for byte in ch.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            _ => out.push(ch),
        }
    }
    out.push('"');
    Some(out)
}

/// `!ebpf.src.container_name`.
#[must_use]
pub fn absent(end: End, key: &str) -> String {
    format!("!{}", end.field(key))
}

/// `ip.src == 10.0.0.1`.
#[must_use]
pub fn address(end: End, address: IpAddr) -> String {
    let family = if address.is_ipv4() { "ip" } else { "ipv6" };
    let field = match end {
        End::Src => "src",
        End::Dst => "dst",
        End::Either => "addr",
    };
    format!("{family}.{field} == {address}")
}

/// `tcp.port == 80`; `None` for a protocol without ports.
#[must_use]
pub fn port(proto: Proto, port: u16) -> Option<String> {
    let known = [Proto::TCP, Proto::UDP].contains(&proto) && port > 0;
    known.then(|| format!("{proto}.port == {port}"))
}

/// All of these.
#[must_use]
pub fn all(terms: &[String]) -> String {
    terms.join(" && ")
}

/// Either of these conjunctions.
#[must_use]
pub fn either(one: &str, other: &str) -> String {
    if one == other { one.to_owned() } else { format!("(({one}) || ({other}))") }
}

/// One connection, both ways.
#[must_use]
pub fn conversation(proto: Proto, ends: [Endpoint; 2]) -> String {
    let mut terms = vec![];
    let [a, b] = ends;
    let ips = [a.ip(), b.ip()].map(|ip| address(End::Either, ip));
    let ports = [a.port(), b.port()].map(|number| port(proto, number));
    for term in ips.into_iter().chain(ports.into_iter().flatten()) {
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    all(&terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_syntax() {
        let filter = text(End::Either, "comm", "a\"||1 \\ \u{202e}<b>\n").expect("short");
        assert_eq!(filter, r#"ebpf.comm == "a\"||1 \\ \xe2\x80\xae<b>\x0a""#);
        assert_eq!(text(End::Src, "comm", &"x".repeat(201)), None);
    }

    #[test]
    fn a_conversation_names_each_end_once() {
        let ends = [Endpoint::v4([127, 0, 0, 1], 4000), Endpoint::v4([127, 0, 0, 1], 80)];
        assert_eq!(
            conversation(Proto::TCP, ends),
            "ip.addr == 127.0.0.1 && tcp.port == 4000 && tcp.port == 80"
        );
        let v6 = Endpoint::v6([1; 16], 53);
        assert!(conversation(Proto::UDP, [v6, v6]).starts_with("ipv6.addr == 101:"));
    }
}
