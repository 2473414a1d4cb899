//! One packet, one line:
//!
//! ```text
//! 12:00:00.123456 lo   curl[4242] 127.0.0.1:40000 > nginx[77]{web} 127.0.0.1:80  tcp S  74  exact,early  tcp_connect
//! ```

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use schema::Endpoint;
use schema::annotation::{Process, Side, escape};

use super::Shown;
use crate::decode::Tcp;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Width of an end on the screen: a name, a pid and an IPv4 endpoint.
const END_WIDTH: usize = 36;

pub(super) fn write(shown: &Shown<'_>, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write!(line, "{} ", time(shown.time_ns));
    let mut interface = String::new();
    escape::encode(shown.interface.unwrap_or("-"), &mut interface);
    let _ = write!(line, "{interface:<6} ");
    let tuple = shown.packet.map(|packet| packet.tuple);
    let annotation = shown.annotation.as_ref();
    let src = annotation.map(|annotation| &annotation.src);
    let dst = annotation.map(|annotation| &annotation.dst);
    push_end(src, tuple.map(|tuple| tuple.src), colour, &mut line);
    line.push_str(" > ");
    push_end(dst, tuple.map(|tuple| tuple.dst), colour, &mut line);
    match shown.packet {
        Some(packet) => {
            let _ = write!(line, "  {}", packet.tuple.proto);
            let _ = write!(line, " {:<3}", packet.tcp.map(flags).unwrap_or_default());
        }
        None => line.push_str("  -      "),
    }
    let _ = write!(line, " {:>5}", shown.length);
    if let Some(annotation) = annotation {
        let _ = write!(line, "  {},{}", outcome(&annotation.src), outcome(&annotation.dst));
        if let Some(event) = annotation.event {
            let _ = write!(line, "  {event}");
        }
        if let Some(latency) = annotation.latency_us {
            let _ = write!(line, " {latency} us");
        }
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Time of day in UTC, microseconds.
fn time(time_ns: Option<i64>) -> String {
    let Some(since) = time_ns.and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos)
    else {
        return "--:--:--.------".to_owned();
    };
    // RFC 3339: the date, a T, the time, a Z.
    let text = humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string();
    text.get(11..26).unwrap_or("--:--:--.------").to_owned()
}

fn push_end(side: Option<&Side<'_>>, endpoint: Option<Endpoint>, colour: bool, line: &mut String) {
    let (name, style) = match side {
        None => ("-".to_owned(), DIM),
        Some(side) if side.outcome().is_ok() => (name(side), BOLD),
        Some(side) => (format!("({})", outcome(side)), DIM),
    };
    let endpoint = endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default();
    let width = name.chars().count() + 1 + endpoint.chars().count();
    if colour {
        let _ = write!(line, "{style}{name}{PLAIN} {endpoint}");
    } else {
        let _ = write!(line, "{name} {endpoint}");
    }
    line.extend(std::iter::repeat_n(' ', END_WIDTH.saturating_sub(width)));
}

/// `comm[pid]{container or pod}`, and behind a slash the same of the process behind a proxy.
fn name(side: &Side<'_>) -> String {
    let mut text = String::new();
    push_name(&side.process, &mut text);
    if let Some(via) = &side.via {
        text.push('/');
        push_name(&via.process, &mut text);
    }
    text
}

fn push_name(process: &Process<'_>, text: &mut String) {
    escape::encode(process.comm.as_deref().unwrap_or("?"), text);
    if let Some(pid) = process.pid {
        let _ = write!(text, "[{pid}]");
    }
    let place = process.pod.as_deref().or(process.container_name.as_deref());
    let short_id = || process.container_id.as_deref().and_then(|id| id.get(..12));
    if let Some(place) = place.or_else(short_id) {
        text.push('{');
        escape::encode(place, text);
        text.push('}');
    }
}

fn outcome(side: &Side<'_>) -> String {
    match side.outcome() {
        Ok(found) => found.to_string(),
        Err(reason) => reason.to_string(),
    }
}

/// tcpdump's letters.
fn flags(tcp: Tcp) -> String {
    let letters =
        [(Tcp::FIN, 'F'), (Tcp::SYN, 'S'), (Tcp::RST, 'R'), (Tcp::PSH, 'P'), (Tcp::ACK, '.')];
    letters.iter().filter(|(bit, _)| tcp.flags & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use schema::annotation::Annotation;
    use schema::{FiveTuple, Proto};

    use super::*;
    use crate::decode::Packet;

    fn printed(comment: Option<&str>) -> String {
        let tuple = FiveTuple::new(
            Proto::TCP,
            Endpoint::v4([127, 0, 0, 1], 40000),
            Endpoint::v4([127, 0, 0, 1], 80),
        );
        let tcp = Some(Tcp { flags: Tcp::SYN, seq: 0, ack: 0 });
        let shown = Shown {
            frame: 1,
            time_ns: Some(1_700_000_000_123_456_789),
            interface: Some("lo"),
            packet: Some(Packet { tcp, ..Packet::of(tuple) }),
            length: 74,
            annotation: comment.and_then(Annotation::decode),
        };
        let mut out = Vec::new();
        write(&shown, false, &mut out).expect("memory can be written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_names_both_ends_and_how_they_were_found() {
        assert_eq!(
            printed(Some(
                "ebpf src.pid=4242 src.comm=curl dst.pid=77 dst.comm=nginx dst.container_name=web dst.match=early event=tcp_connect latency_us=12"
            )),
            "22:13:20.123456 lo     curl[4242] 127.0.0.1:40000           > \
             nginx[77]{web} 127.0.0.1:80           tcp S      74  exact,early  tcp_connect 12 us\n"
        );
    }

    #[test]
    fn what_a_process_calls_itself_cannot_move_the_cursor() {
        let line = printed(Some("ebpf src.pid=1 src.comm=%1B[2Jx%0A"));
        assert!(line.contains("%1B[2Jx%0A[1]"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("(remote)"), "{line}");
    }

    #[test]
    fn a_packet_without_annotation_has_its_endpoints() {
        let line = printed(None);
        assert!(line.contains("- 127.0.0.1:40000"), "{line}");
    }
}
