//! What the page shows, as JSON. Every list is bounded, and tells how much is not in it; all text is
//! made visible at the end.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use indexmap::IndexMap;
use schema::annotation::{Match, Reason};
use serde_json::{Map, Value, json};

use super::collect::Moment;
use super::connections::{CLASSES_US, Connections, Latencies, MAX_ROWS};
use super::filter;
use super::groups::Groups;
use super::names::Namer;
use super::party::Group;
use super::recording::Recorder;
use super::table::{Both, bytes};
use super::text::make_visible;
use super::traffic::Traffic;
use crate::events::{IdentityId, Recordings};
use crate::summary::{SideCounts, Summary};

/// Rows of the tables of processes and of pairs.
const MAX_TABLE: usize = 200;
/// Series of a chart; all others are one more. No more colours can be told apart.
const MAX_SERIES: usize = 8;
/// Recordings, clocks and files that are listed.
const MAX_LISTED: usize = 100;

/// Milliseconds since 1970, as scripts have them.
#[must_use]
pub fn ms(ns: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a fraction of a microsecond")]
    let ms = ns as f64 / 1e6;
    ms
}

/// Everything that a page shows.
#[must_use]
pub fn data(
    (summary, recorders): (&Summary, &BTreeMap<String, Recorder>),
    recordings: &Recordings,
    traffic: &Traffic,
    groups: &Groups,
) -> Value {
    let connections = Connections::of(recordings);
    let namer = Namer::new(recordings, groups.all().iter().copied());
    let mut data = json!({
        "program": concat!("ebpfjoin ", env!("CARGO_PKG_VERSION")),
        "summary": summary.json(),
        "span_ms": traffic.span.map(|(first, last)| [ms(first), ms(last)]),
        "recordings": recordings_json(summary, recorders),
        "losses": losses(recordings, traffic),
        "time": time(traffic),
        "outcomes": outcomes(traffic),
        "series": series(&namer, traffic, groups.all()),
        "processes": processes(&namer, recordings, traffic),
        "pairs": pairs(&namer, traffic),
        "connections": connections_json(&namer, &connections),
    });
    make_visible(&mut data);
    data
}

fn recordings_json(summary: &Summary, recorders: &BTreeMap<String, Recorder>) -> Value {
    let one = |info: &crate::events::RecordingInfo| {
        let path = info.path.display().to_string();
        let key = if info.recording.is_empty() { &path } else { &info.recording };
        let recorder = recorders.get(key).cloned().unwrap_or_default();
        let is_timed = info.start_ns <= info.end_ns;
        json!({
            "file": path,
            "host": info.host,
            "kernel": recorder.kernel,
            "version": recorder.version,
            "attached": recorder.attached,
            "missing": recorder.missing.iter().take(MAX_LISTED).collect::<Vec<_>>(),
            "span_ms": is_timed.then(|| [ms(info.start_ns), ms(info.end_ns)]),
            "rows": info.rows,
            "complete": info.complete,
            "parts": info.parts,
            "missing_parts": info.missing_parts,
            "missing_rows": info.missing_rows,
            "lost": info.lost.iter().filter(|(_, count)| *count > 0).cloned()
                .collect::<BTreeMap<String, u64>>(),
        })
    };
    let rows: Vec<Value> = summary.recordings.iter().take(MAX_LISTED).map(one).collect();
    json!({ "rows": rows, "total": summary.recordings.len() })
}

/// When events were lost, in whole buckets of the traffic: from, to. Times that were not captured
/// don't matter here.
fn losses(recordings: &Recordings, traffic: &Traffic) -> Value {
    let (start, width) = (traffic.timeline.start_ns(), traffic.timeline.width().ns());
    let all = recordings.hosts.iter().flat_map(|host| host.losses());
    let mut is_lossy = vec![false; traffic.timeline.cells().len()];
    for &(from, to) in all {
        let bucket = |time_ns: i64| time_ns.saturating_sub(start).div_euclid(width);
        let (first, last) = (bucket(from).max(0), bucket(to));
        let count = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
        let first = usize::try_from(first).unwrap_or(0);
        is_lossy.iter_mut().skip(first).take(count).for_each(|lossy| *lossy = true);
    }
    let mut at = 0;
    let runs = is_lossy.chunk_by(|a, b| a == b).filter_map(|run| {
        let (from, to) = (at, at + run.len());
        at = to;
        let edge = |bucket: usize| ms(start) + ms(width) * bucket as f64;
        run[0].then(|| json!([edge(from), edge(to)]))
    });
    runs.collect()
}

fn time(traffic: &Traffic) -> Value {
    let timeline = &traffic.timeline;
    let each = |number: fn(&Moment) -> u64| timeline.cells().map(number).collect::<Vec<_>>();
    json!({
        "start_ms": ms(timeline.start_ns()),
        "width_ms": ms(timeline.width().ns()),
        "packets": each(|moment| moment.counts.packets),
        "bytes": each(|moment| moment.bytes),
        "untimed": traffic.untimed.packets,
    })
}

/// By match and reason: in all, and by time.
fn outcomes(traffic: &Traffic) -> Value {
    type Pick = Box<dyn Fn(&SideCounts) -> u64>;
    let matches = SideCounts::default().by_match().map(|(found, _)| found).collect::<Vec<_>>();
    let reasons = SideCounts::default().by_reason().map(|(reason, _)| reason).collect::<Vec<_>>();
    let count_match = |found: Match| -> Pick {
        Box::new(move |side| side.by_match().find(|(one, _)| *one == found).map_or(0, |of| of.1))
    };
    let count_reason = |reason: Reason| -> Pick {
        Box::new(move |side| side.by_reason().find(|(one, _)| *one == reason).map_or(0, |of| of.1))
    };
    let named = matches.into_iter().map(|found| {
        let filter = filter::text(filter::End::Either, "match", &found.to_string());
        (found.to_string(), true, filter, count_match(found))
    });
    let unnamed = reasons
        .into_iter()
        .map(|reason| (reason.to_string(), false, reason_filter(reason), count_reason(reason)));
    let rows = named.chain(unnamed).filter_map(|(name, is_named, filter, count)| {
        let cells = || traffic.timeline.cells();
        let src: Vec<u64> = cells().map(|moment| count(&moment.counts.src)).collect();
        let dst: Vec<u64> = cells().map(|moment| count(&moment.counts.dst)).collect();
        let total =
            |series: &[u64], untimed: &SideCounts| series.iter().sum::<u64>() + count(untimed);
        let (all_src, all_dst) =
            (total(&src, &traffic.untimed.src), total(&dst, &traffic.untimed.dst));
        (all_src + all_dst > 0).then(|| {
            json!({
                "name": name, "named": is_named, "filter": filter,
                "src": all_src, "dst": all_dst, "src_series": src, "dst_series": dst,
            })
        })
    });
    rows.collect()
}

/// What shows packets without a name for this reason: the comment of the first of each flow, where
/// the reason is one that is told.
fn reason_filter(reason: Reason) -> Option<String> {
    match reason {
        Reason::NotIp => Some("!ip && !ipv6".to_owned()),
        // Nothing is written on these, or they show in no field.
        Reason::NoTime | Reason::Malformed | Reason::NoTransport | Reason::Truncated => None,
        told => filter::text(filter::End::Either, "none", told.as_str()),
    }
}

/// Bytes by time of the greatest programs, containers and pods.
fn series(namer: &Namer<'_>, traffic: &Traffic, groups: &[Group]) -> Value {
    let mut out = Map::new();
    let labels: Vec<Value> = groups.iter().map(|group| namer.group(*group)).collect();
    for kind in ["program", "container", "pod", "host"] {
        let mut places = IndexMap::<String, (Value, Vec<usize>)>::new();
        for (at, group) in labels.iter().enumerate() {
            let label = label_of(kind, group);
            // Of what has no container there is nothing to be told here.
            if kind != "program" && label[kind].is_null() {
                continue;
            }
            places.entry(label.to_string()).or_insert((label, vec![])).1.push(at);
        }
        let mut all: Vec<_> = places
            .into_values()
            .map(|(label, members)| {
                let way = |way: usize| -> Vec<u64> {
                    let sum = |moment: &Moment| {
                        let bytes = |at: &usize| moment.groups.get(*at).map_or(0, |both| both[way]);
                        members.iter().map(bytes).sum()
                    };
                    traffic.timeline.cells().map(sum).collect()
                };
                let (sent, received) = (way(0), way(1));
                let total: u64 = sent.iter().chain(&received).sum();
                let filter = match &members[..] {
                    [only] if kind == "program" => namer.group_filter(groups[*only]),
                    _ => kind_filter(kind, &label),
                };
                (
                    total,
                    json!({
                        "label": label, "filter": filter, "total": total,
                        "sent": sent, "received": received,
                    }),
                )
            })
            .collect();
        all.retain(|(total, _)| *total > 0);
        all.sort_by_key(|(total, _)| std::cmp::Reverse(*total));
        let count = all.len();
        if all.is_empty() {
            continue;
        }
        let shown: Vec<Value> = all.into_iter().take(MAX_SERIES).map(|(_, one)| one).collect();
        out.insert(kind.to_owned(), json!({ "total": count, "shown": shown }));
    }
    // What programs send and receive together with those that have no series of their own.
    let everyone = |way: usize| -> Vec<u64> {
        let cells = traffic.timeline.cells();
        let named = |moment: &Moment| moment.groups.iter().map(|both| both[way]).sum::<u64>();
        cells.map(named).collect()
    };
    out.insert("all".to_owned(), json!({ "sent": everyone(0), "received": everyone(1) }));
    out.into()
}

/// What of a program's label those of one container, pod or host have in common.
fn label_of(kind: &str, group: &Value) -> Value {
    match kind {
        "program" => group.clone(),
        "host" => json!({ "host": group["host"] }),
        kind => json!({ kind: group[kind], "host": group["host"] }),
    }
}

fn kind_filter(kind: &str, label: &Value) -> Option<String> {
    let key = if kind == "container" { "container_name" } else { kind };
    filter::text(filter::End::Either, key, label[kind].as_str()?)
}

fn sums(value: &mut Value, [out, back]: &Both) {
    value["out"] = json!([out.packets, out.bytes]);
    value["back"] = json!([back.packets, back.bytes]);
}

fn others((both, rows): (Both, u64)) -> Value {
    let mut value = json!({ "rows": rows });
    sums(&mut value, &both);
    value
}

/// The first rows of `all`, by bytes, and what the rest adds up to.
fn greatest<T>(
    mut all: Vec<(T, Both)>,
    (mut rest, mut rest_rows): (Both, u64),
    show: impl Fn(&T) -> Value,
) -> Value {
    all.sort_by_key(|(_, both)| std::cmp::Reverse(bytes(both)));
    let shown = all.iter().take(MAX_TABLE).map(|(key, both)| {
        let mut value = show(key);
        sums(&mut value, both);
        value
    });
    let rows: Vec<Value> = shown.collect();
    for (_, both) in all.iter().skip(MAX_TABLE) {
        rest.iter_mut().zip(*both).for_each(|(rest, sum)| rest.add(sum));
        rest_rows += 1;
    }
    json!({ "rows": rows, "others": others((rest, rest_rows)) })
}

fn processes(namer: &Namer<'_>, recordings: &Recordings, traffic: &Traffic) -> Value {
    // A process that ran several programs is one; it is shown as what had most traffic.
    let mut places = HashMap::<u32, usize>::new();
    let mut all: Vec<((IdentityId, u64), Both)> = vec![];
    for (&id, both) in traffic.processes.rows() {
        let next = all.len();
        let at = *places.entry(recordings.identity(id).proc).or_insert(next);
        if at == next {
            all.push(((id, bytes(both)), *both));
            continue;
        }
        let ((shown, most), known) = &mut all[at];
        known.iter_mut().zip(*both).for_each(|(known, sum)| known.add(sum));
        if bytes(both) > *most {
            (*shown, *most) = (id, bytes(both));
        }
    }
    let total = all.len();
    let mut value = greatest(all, traffic.processes.others(), |&(id, _)| namer.process(id));
    value["total"] = total.into();
    value
}

fn pairs(namer: &Namer<'_>, traffic: &Traffic) -> Value {
    let all = traffic.pairs.rows().map(|(pair, both)| (*pair, *both)).collect();
    let mut value = greatest(all, traffic.pairs.others(), |pair| {
        json!({
            "client": namer.party(pair.client),
            "server": namer.party(pair.server),
            "proto": pair.proto.to_string(),
            "port": (pair.port > 0).then_some(pair.port),
            "filter": namer.pair_filter(pair),
        })
    });
    value["endless"] = json!([traffic.endless.packets, traffic.endless.bytes]);
    value
}

fn connections_json(namer: &Namer<'_>, connections: &Connections) -> Value {
    let timeline = &connections.timeline;
    let each = |number: fn(&super::connections::Opened) -> u64| {
        timeline.cells().map(number).collect::<Vec<_>>()
    };
    let list = |ids: &[_]| ids.iter().map(|&id| namer.connection(id)).collect::<Vec<_>>();
    let mut programs: Vec<_> = connections.programs.iter().collect();
    programs.retain(|(_, of)| !of.sorted_us.is_empty() || of.failed > 0 || of.retransmits > 0);
    programs.sort_by_key(|(_, of)| std::cmp::Reverse(of.sorted_us.len() as u64 + of.failed));
    let program = |(group, latencies): &&(Group, Latencies)| {
        let mut value = namer.group(*group);
        value["latency"] = latency(latencies);
        value["filter"] = namer.group_filter(*group).into();
        value
    };
    let failing = connections.failing.iter().take(MAX_ROWS).map(|(key, failures)| {
        let mut value = key.group.map_or_else(|| json!({}), |group| namer.group(group));
        value["remote"] = key.remote.to_string().into();
        value["error"] = namer.text(key.error).into();
        value["count"] = failures.count.into();
        value["first_ms"] = ms(failures.first_ns).into();
        value["last_ms"] = ms(failures.last_ns).into();
        value["filter"] = namer.connect_filter(key.group, key.remote).into();
        value
    });
    json!({
        "outgoing": connections.total.outgoing,
        "incoming": connections.total.incoming,
        "failed": connections.total.failed,
        "standing": connections.standing,
        "retransmits": connections.retransmits,
        "time": {
            "start_ms": ms(timeline.start_ns()),
            "width_ms": ms(timeline.width().ns()),
            "outgoing": each(|opened| opened.outgoing),
            "incoming": each(|opened| opened.incoming),
            "failed": each(|opened| opened.failed),
        },
        "classes_us": CLASSES_US,
        "classes": connections.classes,
        "latency": latency(&connections.all),
        "programs": {
            "rows": programs.iter().take(MAX_ROWS).map(program).collect::<Vec<_>>(),
            "total": programs.len(),
        },
        "slowest": {
            "rows": list(&connections.slowest),
            "total": connections.all.sorted_us.len(),
        },
        "resent": { "rows": list(&connections.resent), "total": connections.resent_count },
        "failing": {
            "rows": failing.collect::<Vec<_>>(),
            "total": connections.failing.len(),
        },
    })
}

fn latency(of: &Latencies) -> Value {
    json!({
        "count": of.sorted_us.len(),
        "p50": of.quantile(50),
        "p95": of.quantile(95),
        "p99": of.quantile(99),
        "max": of.sorted_us.last(),
        "retransmits": of.retransmits,
        "failed": of.failed,
    })
}
