//! Clocks that disagree, drift, and are set.

use crate::spec::{Spec, check};

/// Connections one after the other; every one's SYN is captured when the capture's clock says what
/// `captured` makes of the time. Each packet's sender is to say `found`, where `{}` is its name.
fn connections(count: u32, captured: impl Fn(f64) -> f64, found: &str) -> String {
    let mut text = String::new();
    for n in 0..count {
        let at = f64::from(n) * 2.0 + 1.0;
        let (port, close) = (4000 + n, at + 0.5);
        let (syn, ack) = (captured(at + 0.0001), captured(at + 0.25));
        let found = found.replace("{}", &format!("curl{n}"));
        text += &format!(
            "{at} tcp_connect curl{n}#{n}1 10.0.0.1:{port} > 10.0.0.2:80
             {close} tcp_close curl{n}#{n}1 10.0.0.1:{port} > 10.0.0.2:80
             {syn} pkt 10.0.0.1:{port} > 10.0.0.2:80 S = {found} | remote
             {ack} pkt 10.0.0.1:{port} > 10.0.0.2:80 . = {found} | remote
             ",
        );
    }
    text
}

#[test]
fn a_clock_that_is_ahead_is_found_out() {
    check(&connections(10, |time| time + 30.0, "{} exact"));
    let spec = Spec::new(&connections(10, |time| time + 30.0, "{} exact"));
    let summary = spec.summary();
    assert!(summary.contains("clock of h: capture ahead by +30.000"), "{summary}");
    assert!(summary.contains("10 connections"), "{summary}");
}

#[test]
fn a_drift_is_followed() {
    check(&connections(40, |time| time * 1.0002 - 7.0, "{} exact"));
}

#[test]
fn weak_evidence_changes_nothing() {
    // Four connections are too few.
    let spec = Spec::new(&connections(4, |time| time + 200.0, "after-recording"));
    spec.check();
    let summary = spec.summary();
    assert!(summary.contains("4 connections): not applied: too few"), "{summary}");
    // Twelve that tell as many different offsets don't agree.
    let disagree = |time: f64| time + 200.0 + (time * 7.0) % 40.0;
    let spec = Spec::new(&connections(12, disagree, "after-recording"));
    spec.check();
    let summary = spec.summary();
    assert!(summary.contains("12 connections): not applied: they disagree"), "{summary}");
}

#[test]
fn the_user_knows_better() {
    let an_hour_behind = |time| time - 3600.0;
    let text = connections(2, an_hour_behind, "{} exact");
    check(&format!("args --clock-offset -3600s\n{text}"));
    check(&connections(2, an_hour_behind, "before-recording"));
    // Ten are evidence enough, unless the user doesn't want it to be looked at.
    check(&connections(10, an_hour_behind, "{} exact"));
    let text = connections(10, an_hour_behind, "before-recording");
    check(&format!("args --clock-offset none\n{text}"));
}

#[test]
fn a_clock_that_is_set_while_both_record_does_no_harm() {
    // Set back by 30 s after 50 s: wall times repeat.
    check(
        "0.0 clock offset=0
         10.0 tcp_connect early#1 10.0.0.1:4000 > 10.0.0.2:80 ns=1
         45.0 tcp_close early#1 10.0.0.1:4000 > 10.0.0.2:80 ns=1
         20.0 clock offset=-30 boot=50.0
         30.0 tcp_connect later#2 10.0.0.1:4000 > 10.0.0.2:80 ns=1 boot=60.0
         40.0 tcp_close later#2 10.0.0.1:4000 > 10.0.0.2:80 ns=1 boot=70.0
         10.001 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=1 = early exact | remote
         35.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = early exact | remote
         49.000 pkt 10.0.0.9:1 > 10.0.0.8:1 . = remote | remote
         30.001 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=9 = later exact | remote
         35.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = later exact | remote",
    );
}

/// Set back by 30 s after 50 s, as above; and who is connected before and afterwards.
const SET_BACK: &str = "\
    0.0 clock offset=0
    10.0 tcp_connect early#1 10.0.0.1:4000 > 10.0.0.2:80 ns=1
    45.0 tcp_close early#1 10.0.0.1:4000 > 10.0.0.2:80 ns=1
    20.0 clock offset=-30 boot=50.0
    30.0 tcp_connect later#2 10.0.0.1:4000 > 10.0.0.2:80 ns=1 boot=60.0
    40.0 tcp_close later#2 10.0.0.1:4000 > 10.0.0.2:80 ns=1 boot=70.0
";

#[test]
fn a_time_that_the_clock_showed_twice_is_nobodys() {
    // A capture of a few seconds, and nothing tells which of the two times it was.
    check(&format!(
        "{SET_BACK}
         35.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = ambiguous | ambiguous
         36.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = ambiguous | ambiguous"
    ));
    // One that goes on beyond what the clock showed before it was set back, began afterwards.
    check(&format!(
        "{SET_BACK}
         35.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = later exact | remote
         52.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 F. = later late | remote"
    ));
    // One that began before the times that were shown twice, and ended while they were.
    check(&format!(
        "{SET_BACK}
         19.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = early exact | remote
         35.000 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = early exact | remote"
    ));
}
