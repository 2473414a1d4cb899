//! The profile: its columns, its colours and its buttons.

use std::fs;

use super::{commented, frames, joined, rows, sources, tshark};

#[test]
fn columns_name_both_ends() {
    let folder = joined();
    let Some(text) = tshark(folder.path(), &["-C", "ebpf", "-T", "tabs"]) else { return };
    let first: Vec<&str> =
        text.lines().next().expect("a packet").split('\t').map(str::trim).collect();
    assert_eq!(
        first[..10],
        [
            "1",
            "22:13:21.000100000",
            "curl[4242]",
            "",
            "nginx[77]",
            "default/web-0",
            "exact,early",
            "10.0.0.1",
            "→",
            "10.0.0.2"
        ]
    );
    let last: Vec<&str> =
        text.lines().last().expect("a packet").split('\t').map(str::trim).collect();
    assert_eq!(last[2..7], ["(no-socket)", "", "(remote)", "", "no-socket,remote"]);
}

#[test]
fn colours_tell_how_the_weaker_end_was_found() {
    let both = |src: &str, dst: &str| {
        format!(
            "ebpf src.pid=1 src.comm=a dst.pid=2 dst.comm=b src.match={src} dst.match={dst} event=x"
        )
    };
    let cases = [
        (both("exact", "exact"), "An open socket"),
        (both("exact", "early"), "Before the first event, or after the close"),
        (both("late", "exact"), "Before the first event, or after the close"),
        (both("listener", "exact"), "By a listener, or by a related packet"),
        (both("nat+exact", "exact"), "Through a translation"),
        ("ebpf src.pid=1 src.comm=a dst.none=remote".to_owned(), "An open socket"),
        (
            "ebpf src.pid=1 src.comm=a dst.none=ambiguous".to_owned(),
            "Not certain who: ambiguous, or in a loss",
        ),
        (
            "ebpf src.none=in-loss dst.none=remote".to_owned(),
            "Not certain who: ambiguous, or in a loss",
        ),
        ("ebpf src.none=no-socket dst.none=remote".to_owned(), "Nobody known"),
        (format!("{} dst.via.pid=3 dst.via.match=proxy", both("exact", "exact")), "Behind a proxy"),
    ];
    let expected: Vec<&str> = cases.iter().map(|(_, rule)| *rule).collect();
    // Each by itself: packets sent again have a colour of their own.
    for ((comment, _), rule) in cases.iter().zip(expected) {
        let folder = commented(&[Some(comment)]);
        let fields = ["frame.coloring_rule.name"];
        let Some(found) = rows(folder.path(), &fields, &["-C", "ebpf", "--color"]) else { return };
        assert_eq!(found, [[rule]], "{comment}");
    }
}

#[test]
fn every_button_is_a_filter_that_works() {
    let folder = joined();
    let text = fs::read_to_string(sources().join("profile/dfilter_buttons")).expect("buttons");
    let buttons: Vec<Vec<String>> = text
        .lines()
        .filter(|line| line.starts_with('"'))
        .map(|line| {
            line.trim_matches('"').split("\",\"").map(|cell| cell.replace("\\x22", "\"")).collect()
        })
        .collect();
    let shown = |label: &str| {
        let button = buttons.iter().find(|button| button[1] == label).expect(label);
        frames(folder.path(), &button[2])
    };
    for (label, expected) in [
        ("Containers", &[1, 2, 3, 4, 5, 6][..]),
        ("Connects", &[1]),
        ("Slow connects", &[]),
        ("Trouble", &[]),
        ("Proxied", &[]),
        ("Translated", &[]),
        ("No name", &[7, 8]),
        ("Uncertain", &[]),
    ] {
        let Some(found) = shown(label) else { return };
        assert_eq!(found, expected, "{label}");
    }
    assert_eq!(buttons.len(), 8);
}

#[test]
fn slow_connects_are_those_of_a_tenth_of_a_second() {
    let slow = "ebpf src.pid=1 src.comm=a event=tcp_connect latency_us=100000";
    let quick = "ebpf src.pid=1 src.comm=a event=tcp_connect latency_us=99999";
    let text = fs::read_to_string(sources().join("profile/dfilter_buttons")).expect("buttons");
    let line = text.lines().find(|line| line.contains("\"Slow connects\"")).expect("the button");
    let filter = line.split("\",\"").nth(2).expect("its filter").replace("\\x22", "\"");
    let folder = commented(&[Some(slow), None, Some(quick)]);
    let Some(found) = frames(folder.path(), &filter) else { return };
    assert_eq!(found, [1]);
}
