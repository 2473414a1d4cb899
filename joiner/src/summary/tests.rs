use schema::annotation::{Match, Reason, Rule};

use super::*;
use crate::attribute::{Holder, SideVerdict, Verdict, Via};
use crate::events::{ConversationId, IdentityId};

fn summary() -> Summary {
    let named = |nat, rule| SideVerdict::Named {
        holder: Holder::Conversation(ConversationId(0)),
        owner: IdentityId(0),
        found: Match { nat, rule },
        via: Via::Nobody,
    };
    let mut counts = Counts::default();
    counts.add(&Verdict { src: named(false, Rule::Exact), dst: named(true, Rule::Exact) });
    counts.add(&Verdict {
        src: named(false, Rule::Early),
        dst: SideVerdict::Unnamed(Reason::Remote),
    });
    let mut other = Counts::default();
    other.add(&Verdict::none(Reason::NotIp));
    other.add(&Verdict::none(Reason::InLoss));
    counts.merge(&other);
    let start_ns = 1_700_000_000_000_000_000;
    let whole = RecordingInfo {
        path: "a.parquet".into(),
        recording: "r".into(),
        parts: 0,
        missing_parts: 0,
        missing_rows: 0,
        host: "web-1".into(),
        start_ns,
        end_ns: start_ns + 61_500_000_000,
        complete: true,
        rows: 12,
        lost: vec![("ring".into(), 0)],
    };
    let cut = RecordingInfo {
        path: "b.parquet".into(),
        host: "\x1b[2Jevil".into(),
        start_ns: i64::MAX,
        end_ns: i64::MIN,
        complete: false,
        parts: 3,
        missing_parts: 2,
        missing_rows: 9,
        lost: vec![("ring".into(), 3), ("con\ntrack".into(), 1)],
        ..whole.clone()
    };
    Summary {
        capture: "in.pcap".into(),
        output: "out.pcapng".into(),
        recordings: vec![whole, cut],
        unfinished: vec!["d/c.parquet.partial".into()],
        twice: vec!["d/copy.parquet".into()],
        clocks: vec![],
        captured_on: None,
        counts,
        annotated: 2,
        cut_options: 1,
        growth: 202,
        bytes_in: 4000,
        bytes_out: 4202,
        elapsed: Duration::from_millis(500),
        damage: Some(Damage { offset: 77, packets: 4, what: "cut off".into() }),
    }
}

#[test]
fn the_table_tells_every_match_reason_and_loss() {
    assert_eq!(
        summary().to_string(),
        "\
4 packets, 2 annotated, +50.5 bytes a packet, 4000 -> 4202 bytes, 0.50 s (8 packets/s)
a.parquet: host web-1, 12 rows, 2023-11-14T22:13:20Z to 2023-11-14T22:14:21Z (61.5 s)
b.parquet and 2 more parts: host %1B[2Jevil, 12 rows, no time known, INCOMPLETE (no clean end), LOST 3 (ring), LOST 1 (con%0Atrack), LOST 9 rows without a word, 2 earlier parts are not there
d/c.parquet.partial: not finished, LEFT OUT (`ebpfrec recover` if it was cut off)
d/copy.parquet is given twice; read once
                            source         destination
named                            2  50.0 %           1  25.0 %
  exact                          1  25.0 %           0   0.0 %
  early                          1  25.0 %           0   0.0 %
  nat+exact                      0   0.0 %           1  25.0 %
unnamed                          2  50.0 %           3  75.0 %
  not-ip                         1  25.0 %           1  25.0 %
  remote                         0   0.0 %           1  25.0 %
  in-loss                        1  25.0 %           1  25.0 %
copied as they were, because their options are cut: 1
"
    );
}

#[test]
fn the_numbers_for_scripts_are_the_same() {
    let json = summary().json();
    assert_eq!(json["packets"], 4);
    assert_eq!(json["source"]["by_match"], json!({ "exact": 1, "early": 1 }));
    assert_eq!(json["destination"]["named"], 1);
    assert_eq!(json["destination"]["by_reason"], json!({ "not-ip": 1, "remote": 1, "in-loss": 1 }));
    assert_eq!(json["growth_per_packet"], 50.5);
    assert_eq!(json["recordings"][1]["lost"], json!({ "ring": 3, "con\ntrack": 1 }));
    assert_eq!(json["recordings"][1]["complete"], false);
    assert_eq!(json["damage"], json!({ "offset": 77, "packets": 4, "what": "cut off" }));
}
