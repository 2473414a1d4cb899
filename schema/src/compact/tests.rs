use super::{encoder::MASK, *};
use crate::batch::BatchBuilder;
use crate::columns::Event;
use crate::error::SchemaError;
use crate::rows::EventBatch;

fn events() -> Vec<Event<'static>> {
    let first = Event {
        ts: 1_700_000_000_000_000_000,
        boot_ns: 5,
        host: "h",
        kind: "tcp_connect",
        source: "probe",
        local_addr: Some("10.0.0.1"),
        local_port: Some(65_535),
        mac: Some("02:00:00:00:00:01"),
        v6only: Some(true),
        netns: Some(u64::MAX),
        mono_offset_ns: Some(i64::MIN),
        cmdline: Some(""),
        ..Event::default()
    };
    let second = Event {
        ts: first.ts - 1,
        seq: 1,
        host: "hö",
        v6only: Some(false),
        cmdline: Some("h"),
        mono_offset_ns: None,
        ..first
    };
    vec![first, second, Event { seq: 2, ..first }, Event { kind: "lost", ..Event::default() }]
}

fn batch(events: &[Event<'_>]) -> EventBatch {
    let mut builder = BatchBuilder::default();
    events.iter().for_each(|event| builder.append(event));
    builder.finish().into()
}

/// What `bytes` decode to, shown; decoded piece by piece.
fn decode(layout: &[(String, String)], pieces: &[Vec<u8>]) -> Result<Vec<String>, SchemaError> {
    let mut decoder = Decoder::new(layout);
    let mut rows = vec![];
    for piece in pieces {
        decoder.decode(piece, |event| rows.push(format!("{event:?}")))?;
    }
    Ok(rows)
}

#[test]
fn rows_read_back_batch_by_batch() {
    let events = events();
    let mut encoder = Encoder::default();
    let pieces = events.chunks(3).map(|events| {
        let mut out = vec![];
        encoder.encode(&batch(events), &mut out).expect("encoded");
        out
    });
    let pieces: Vec<_> = pieces.collect();
    let rows = decode(&layout(), &pieces).expect("decoded");
    let want: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(rows, want);
    // A row like the one before it is little more than its mask.
    let mut again = vec![];
    encoder.encode(&batch(&[events[3]]), &mut again).expect("encoded");
    assert!(again.len() < 2 * MASK, "{} bytes", again.len());
}

#[test]
fn columns_of_another_version_are_left_out_or_null() {
    let mut out = vec![];
    Encoder::default().encode(&batch(&events()[..1]), &mut out).expect("encoded");
    let mut other = layout();
    for (name, kind) in &mut other {
        match name.as_str() {
            "local_port" => "gone".clone_into(name),
            // Read as it was written, not as we would have.
            "mac" => "local_addr".clone_into(name),
            "local_addr" => "renamed".clone_into(name),
            _ => assert!(!kind.is_empty()),
        }
    }
    let rows = decode(&other, &[out]).expect("decoded");
    let want = Event { local_port: None, mac: None, local_addr: None, ..events()[0] };
    assert_eq!(rows, [format!("{want:?}")]);
}

#[test]
fn cut_rows_are_an_error() {
    let mut out = vec![];
    Encoder::default().encode(&batch(&events()[..1]), &mut out).expect("encoded");
    for length in 1..out.len() {
        assert!(decode(&layout(), &[out[..length].to_vec()]).is_err(), "{length}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
        let _ = decode(&layout(), &[bytes]);
    }
}
