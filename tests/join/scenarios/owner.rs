//! Whose a socket is: the worker behind a listener, who was handed it, and what its program was.

use crate::spec::{Spec, check};

#[test]
fn the_first_reader_of_an_accepted_socket_has_it_for_life() {
    check(
        "1.0 tcp_accept master#1 10.0.0.1:80 > 10.0.0.9:5000
         3.0 owner worker#1 10.0.0.1:80 > 10.0.0.9:5000 direction=in
         9.0 tcp_close worker#1 10.0.0.1:80 > 10.0.0.9:5000
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | worker exact
         0.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | worker early
         9.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 F. = worker late | remote",
    );
}

#[test]
fn where_the_row_of_the_worker_was_lost_the_close_names_it() {
    check(
        "1.0 tcp_accept master#1 10.0.0.1:80 > 10.0.0.9:5000
         9.0 tcp_close worker#1 10.0.0.1:80 > 10.0.0.9:5000
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | worker exact",
    );
}

#[test]
fn a_socket_that_was_handed_over_changes_hands_then() {
    check(
        "1.0 tcp_accept inetd#1 10.0.0.1:80 > 10.0.0.9:5000
         2.0 owner inetd#1 10.0.0.1:80 > 10.0.0.9:5000 direction=in
         3.0 owner login#1 10.0.0.1:80 > 10.0.0.9:5000
         9.0 tcp_close login#1 10.0.0.1:80 > 10.0.0.9:5000
         2.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | inetd exact
         3.1 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | login exact",
    );
}

#[test]
fn a_socket_is_told_of_without_its_process() {
    check(
        "1.0 tcp_accept -#1 10.0.0.1:80 > 10.0.0.9:5000
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | no-socket
         3.0 tcp_close -#1 10.0.0.1:80 > 10.0.0.9:5000",
    );
}

#[test]
fn a_process_is_what_it_ran_at_that_time() {
    check(
        "1.0 tcp_connect sh#1 10.0.0.1:4000 > 10.0.0.2:80
         3.0 exec curl of=sh
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = sh exact | remote
         3.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote",
    );
}

#[test]
fn a_process_that_calls_itself_otherwise_is_named_as_its_socket_tells() {
    let spec = Spec::new(
        "0.1 exec env of=sh
         0.2 exec python3.11 of=sh
         1.0 tcp_connect worker-7#1 10.0.0.1:4000 > 10.0.0.2:80 of=sh
         3.0 tcp_connect worker-8#2 10.0.0.1:4001 > 10.0.0.2:80 of=sh
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = worker-7 exact | remote
         3.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = worker-7 exact | remote
         3.5 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = worker-8 exact | remote",
    );
    spec.check();
    let told = spec.explain(1);
    assert!(told.contains("  = worker-7[1002], exact") && !told.contains("python"), "{told}");
}

#[test]
fn a_socket_of_before_an_exec_goes_by_what_the_process_is_called_after_it() {
    let spec = Spec::new(
        "1.0 tcp_connect sh#1 10.0.0.1:4000 > 10.0.0.2:80
         3.0 exec python3.11 of=sh
         4.0 tcp_connect worker-7#2 10.0.0.1:4001 > 10.0.0.2:80 of=sh
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = sh exact | remote
         3.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = python3.11 exact | remote
         3.9 pkt 10.0.0.1:4001 > 10.0.0.2:80 S = worker-7 early | remote
         4.5 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = worker-7 exact | remote
         4.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = worker-7 exact | remote",
    );
    spec.check();
    // Every line of it names the process as it was when the packet passed.
    let told = spec.explain(2);
    assert!(told.contains("    python3.11[1001], tcp_connect") && !told.contains("sh["), "{told}");
}

#[test]
fn the_listener_speaks_for_a_connection_nobody_recorded() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=5
         1.0 tcp_listen nginx#1 0.0.0.0:80 ns=5
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | nginx listener
         1.6 pkt 10.0.0.1:80 > 10.0.0.9:5000 S. = nginx listener | remote
         1.6 pkt 10.0.0.9:5000 > 10.0.0.1:81 S = remote | no-socket
         // Nobody's: the last of a connection would be gone by then.
         62.0 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | nginx listener
         62.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 . = nginx listener | remote
         // But this may be of one that was closed before the recording.
         1.7 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | no-socket",
    );
    // Where a row may be missing, an established connection may be any worker's.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=5
         0.5 tcp_listen nginx#1 0.0.0.0:80 ns=5
         2.0 lost error=ring count=1
         6.0 socket nginx#1 0.0.0.0:80 ns=5
         5.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | nginx listener
         5.6 pkt 10.0.0.1:80 > 10.0.0.9:5000 S. = nginx listener | remote
         5.7 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | no-socket
         5.8 pkt 10.0.0.1:80 > 10.0.0.9:5000 . = no-socket | remote",
    );
    // And if nobody says that it was still there afterwards, the port may be another's.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=5
         0.5 tcp_listen nginx#1 0.0.0.0:80 ns=5
         2.0 lost error=ring count=1
         0.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | nginx listener
         5.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | ambiguous",
    );
    // Who binds a port with others may be any of them.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=5
         1.0 tcp_listen one#1 0.0.0.0:80 ns=5
         1.0 tcp_listen two#2 0.0.0.0:80 ns=5
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 S = remote | ambiguous",
    );
}
