//! One packet, one JSON object.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use schema::Endpoint;
use schema::annotation::{self, Match, Process, Reason, Side};
use serde_json::{Map, Value, json};

use super::Shown;
use crate::json::printable;

pub(super) fn write(shown: &Shown<'_>, out: &mut impl Write) -> io::Result<()> {
    let time = shown.time_ns.and_then(|ns| u64::try_from(ns).ok()).map(|ns| {
        humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
    });
    let tuple = shown.packet.map(|packet| packet.tuple);
    let annotation = shown.annotation.as_ref();
    let object = json!({
        "frame": shown.frame,
        "time": time,
        "interface": shown.interface,
        "proto": tuple.map(|tuple| tuple.proto.to_string()),
        "tcp_flags": shown.packet.and_then(|packet| packet.tcp).map(|tcp| tcp.flags),
        "length": shown.length,
        "src": end(annotation.map(|a| &a.src), tuple.map(|tuple| tuple.src)),
        "dst": end(annotation.map(|a| &a.dst), tuple.map(|tuple| tuple.dst)),
        "event": annotation.and_then(|a| a.event).map(|event| event.as_str()),
        "latency_us": annotation.and_then(|a| a.latency_us),
        "nat": annotation.and_then(|a| a.nat.as_deref()),
        "offset_us": annotation.and_then(|a| a.offset_us),
    });
    writeln!(out, "{}", printable(&object.to_string()))
}

fn end(side: Option<&Side<'_>>, endpoint: Option<Endpoint>) -> Value {
    let mut object = Map::new();
    if let Some(endpoint) = endpoint {
        object.insert("addr".to_owned(), endpoint.ip().to_string().into());
        object.insert("port".to_owned(), endpoint.port().into());
    }
    if let Some(side) = side {
        push_process(&side.process, &mut object);
        push_outcome(side.outcome(), &mut object);
        if let Some(via) = &side.via {
            let mut behind = Map::new();
            push_process(&via.process, &mut behind);
            // A brief annotation says nothing of how the far process was found.
            match (via.found, via.none) {
                (_, Some(reason)) => push_outcome(Err(reason), &mut behind),
                (Some(found), None) => push_outcome(Ok(found), &mut behind),
                (None, None) => {}
            }
            object.insert("via".to_owned(), behind.into());
        }
    }
    object.into()
}

fn push_outcome(outcome: Result<Match, Reason>, object: &mut Map<String, Value>) {
    match outcome {
        Ok(found) => object.insert("match".to_owned(), found.to_string().into()),
        Err(reason) => object.insert("none".to_owned(), reason.as_str().into()),
    };
}

fn push_process(process: &Process<'_>, object: &mut Map<String, Value>) {
    process.visit(|key, value| {
        let value = match value {
            annotation::Value::Number(number) => number.into(),
            annotation::Value::Text(text) => text.into(),
        };
        object.insert(key.to_owned(), value);
    });
}
