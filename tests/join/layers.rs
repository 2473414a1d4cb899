//! Every link type and layer that is looked through gives what tshark sees in it; so does what the
//! snap length leaves of a packet.

use joiner::decode::{LinkType, Undecoded};

use crate::frames::{Frame, frames, pcapng};
use crate::scene::{put, scene};
use crate::tools::tshark;
use crate::tuples::{FIELDS, compare, ours, theirs};

#[test]
fn every_layer_is_looked_through_as_tshark_does() {
    let frames = frames();
    let mut told = vec![];
    for Frame { name, link, bytes, ports, .. } in &frames {
        let ours = ours(LinkType(*link), bytes).unwrap_or_default();
        let found: Vec<_> = ours
            .iter()
            .map(|tuple| (tuple.3.parse().expect("a port"), tuple.4.parse().expect("a port")))
            .collect();
        if found != *ports {
            told.push(format!("{name}: {ours:?}"));
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));

    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(&frames));
    let Some(rows) = tshark(&folder.path().join("in.pcapng"), &FIELDS) else { return };
    assert_eq!(rows.len(), frames.len());
    let wrong: Vec<_> = frames
        .iter()
        .zip(&rows)
        .map(|(frame, row)| (frame, ours(LinkType(frame.link), &frame.bytes), row))
        // An exception that is none any more is to be taken out.
        .filter(|(frame, ours, row)| {
            (ours.clone().unwrap_or_default() == theirs(row)) != frame.exception.is_none()
        })
        .map(|(frame, ours, row)| {
            format!("{}, {}: {ours:?}, tshark: {:?}", frame.name, row[0], theirs(row))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_snap_length_leaves_says_nothing_else() {
    let mut cut = vec![];
    for Frame { name, link, bytes, exception, .. } in frames() {
        let whole = ours(LinkType(link), &bytes).unwrap_or_default();
        for length in 0..bytes.len() {
            match ours(LinkType(link), &bytes[..length]) {
                Ok(tuples) => assert!(whole.starts_with(&tuples), "{name} cut at {length}"),
                Err(Undecoded::Truncated) => {}
                Err(undecoded) => {
                    assert!(whole.is_empty(), "{name} cut at {length}: {undecoded:?}");
                }
            }
        }
        // As tcpdump -s 96 leaves it: enough for all headers here, too little for tshark to think
        // the packet whole.
        let bytes = bytes[..bytes.len().min(96)].to_vec();
        if exception.is_none() {
            cut.push(Frame { name, link, bytes, ports: vec![], exception });
        }
    }
    let folder = scene();
    let file = pcapng(&cut);
    put(&folder, "in.pcapng", &file);
    let Some(rows) = tshark(&folder.path().join("in.pcapng"), &FIELDS) else { return };
    let (wrong, compared, _) = compare(&file, &rows);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 80, "{compared}");
}
