//! Why a packet has no name: every reason there is.

use crate::spec::{Spec, check};

#[test]
fn what_is_no_transport_says_so() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         1.5 pkt 10.0.0.1 > 10.0.0.2 echo = no-transport | no-transport
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . proto=132 = no-transport | no-transport
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . cut=22 = truncated | truncated
         // What is no IP at all is left as it was.
         1.5 pkt 10.0.0.1 > 10.0.0.2 raw = nothing | nothing",
    );
}

#[test]
fn a_packet_that_keeps_its_ports_keeps_its_names() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . cut=24 = curl exact | remote",
    );
}

#[test]
fn addresses_of_recorded_hosts_have_sockets_or_none() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = no-socket | remote",
    );
}

#[test]
fn before_the_hooks_were_attached_nothing_was_recorded() {
    // Interfaces and the clock are looked at first; some hooks are there before others.
    check(
        "recorded 10 20
         9.5 interface if=eth0 index=2 10.0.0.1 ns=1
         9.9 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         9.7 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = before-recording | remote
         10.1 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = no-socket | remote
         9.95 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote
         15.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote",
    );
}

#[test]
fn outside_the_recording() {
    check(
        "recorded 10 20
         9.5 interface if=eth0 index=2 10.0.0.1 ns=1
         11.0 socket sshd#1 10.0.0.1:22 > 10.0.0.9:5000 proto=tcp
         3.0 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | before-recording
         9.0 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | sshd early
         25.0 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | sshd late
         95.0 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | after-recording
         3.0 pkt 10.0.0.1:4000 > 10.0.0.9:80 . = before-recording | remote
         25.0 pkt 10.0.0.1:4000 > 10.0.0.9:80 . = after-recording | remote",
    );
}

#[test]
fn while_the_recorder_lost_events() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         5.0 lost error=ring count=100
         4.5 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = in-loss | remote
         9.0 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = no-socket | remote
         3.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote
         // Its close may be among what was lost.
         4.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = ambiguous | remote
         80.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = ambiguous | remote",
    );
    // Unless it is told again.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         5.0 lost error=ring count=100
         7.0 socket curl#1 10.0.0.1:4000 > 10.0.0.2:80
         4.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote
         80.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote",
    );
}

#[test]
fn explain_tells_candidates_translations_and_the_rule() {
    let spec = Spec::new(
        "0.1 interface if=lan0 index=2 10.99.0.1 ns=1
         1.000 nat 10.99.0.2:5000 > 10.99.0.1:4443 => 10.99.0.2:5000 > 172.17.0.2:8080 ns=1
         1.100 tcp_accept httpd#1 172.17.0.2:8080 > 10.99.0.2:5000 ns=5 container=web
         2.000 tcp_close httpd#1 172.17.0.2:8080 > 10.99.0.2:5000 ns=5 container=web
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4443 . = remote | httpd@web nat+exact",
    );
    spec.check();
    let told = spec.explain(1);
    for part in [
        "packet 1: tcp 10.99.0.2:5000 > 10.99.0.1:4443",
        "translated (1): sockets with tcp 10.99.0.2:5000 > 172.17.0.2:8080",
        "httpd[1001]",
        "tcp_accept -0.400000 s to +0.500000 s (tcp_close)",
        "in namespace 5 of h: exact",
        "= nobody: remote",
        "nat+exact",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
