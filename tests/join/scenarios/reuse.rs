//! TCP: one life after the other on the same tuple, and packets before, after and between.

use crate::spec::check;

#[test]
fn packets_of_an_open_connection_are_exact() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         1.2 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         2.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.0 tcp_close nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | nginx exact
         1.6 pkt 10.0.0.2:80 > 10.0.0.1:4000 . = nginx exact | curl exact
         1.6 pkt 10.0.0.1:4001 > 10.0.0.2:80 . = no-socket | no-socket",
    );
}

#[test]
fn the_handshake_before_the_rows_is_early() {
    check(
        "1.00 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         1.20 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         0.99 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl early | nginx early
         1.05 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | nginx early
         1.10 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=7 ack=101 = nginx early | curl exact",
    );
}

#[test]
fn a_life_reaches_back_to_its_own_syn_however_long_ago() {
    // The server was slow to answer: it had too many connections waiting.
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         31.2 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         1.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | nginx early
         4.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | nginx early
         31.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | nginx early",
    );
    // One that was there before: its SYN was long ago.
    check(
        "0.1 socket nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         -31.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = remote | nginx early",
    );
}

#[test]
fn a_syn_that_nothing_followed_for_seconds_is_another_connections() {
    // It would have come again, and so would its answer.
    check(
        "31.0 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         4.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = remote | no-socket
         4.2 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. ack=101 = no-socket | remote",
    );
}

#[test]
fn never_past_its_own_syn() {
    check(
        "31.0 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         27.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = remote | no-socket
         30.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = remote | nginx early",
    );
}

#[test]
fn without_a_syn_back_to_before_and_no_further() {
    check(
        "31.0 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         25.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = remote | no-socket
         26.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = remote | nginx early",
    );
    check(
        "args --before 1s
         31.0 tcp_accept nginx#2 10.0.0.2:80 > 10.0.0.1:4000
         29.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = remote | no-socket
         30.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = remote | nginx early",
    );
}

#[test]
fn what_lingers_after_the_close_is_late() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 F. = curl late | remote
         61.9 pkt 10.0.0.2:80 > 10.0.0.1:4000 R = remote | curl late
         62.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 R = remote | no-socket",
    );
    check(
        "args --after 5s
         1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         6.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 F. = curl late | remote
         7.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 F. = no-socket | remote",
    );
}

#[test]
fn a_tuple_used_again_is_the_next_processs_from_its_syn_on() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         5.0 tcp_connect wget#2 10.0.0.1:4000 > 10.0.0.2:80
         6.0 tcp_close wget#2 10.0.0.1:4000 > 10.0.0.2:80
         1.001 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=1 = curl exact | remote
         4.8 pkt 10.0.0.1:4000 > 10.0.0.2:80 R = curl late | remote
         4.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=9 = wget early | remote
         5.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = wget exact | remote
         6.1 pkt 10.0.0.1:4000 > 10.0.0.2:80 F. = wget late | remote",
    );
}

#[test]
fn a_new_syn_is_never_the_old_connections() {
    // Nobody recorded the second connection: it has no name, though the first one lingers.
    check(
        "1.0 tcp_accept nginx#1 10.0.0.2:80 > 10.0.0.9:4000
         2.0 tcp_close nginx#1 10.0.0.2:80 > 10.0.0.9:4000
         0.9 pkt 10.0.0.9:4000 > 10.0.0.2:80 S seq=1 = remote | nginx early
         0.95 pkt 10.0.0.9:4000 > 10.0.0.2:80 S seq=1 = remote | nginx early
         5.0 pkt 10.0.0.9:4000 > 10.0.0.2:80 S seq=2 = remote | no-socket
         5.1 pkt 10.0.0.9:4000 > 10.0.0.2:80 . = remote | no-socket",
    );
}

#[test]
fn until_the_new_syn_ack_the_old_socket_answers() {
    // A challenge ACK of a socket in LAST_ACK, to the SYN of the next connection.
    check(
        "1.0 tcp_accept old#1 10.0.0.2:80 > 10.0.0.9:4000
         5.0 tcp_close old#1 10.0.0.2:80 > 10.0.0.9:4000
         6.0 tcp_accept new#2 10.0.0.2:80 > 10.0.0.9:4000
         0.9 pkt 10.0.0.9:4000 > 10.0.0.2:80 S seq=1 = remote | old early
         0.95 pkt 10.0.0.2:80 > 10.0.0.9:4000 S. seq=5 ack=2 = old early | remote
         5.50 pkt 10.0.0.9:4000 > 10.0.0.2:80 S seq=900 = remote | new early
         5.51 pkt 10.0.0.2:80 > 10.0.0.9:4000 . = old late | remote
         5.60 pkt 10.0.0.2:80 > 10.0.0.9:4000 S. seq=8 ack=901 = new early | remote
         5.61 pkt 10.0.0.2:80 > 10.0.0.9:4000 . = new early | remote",
    );
}

#[test]
fn both_may_open_at_once() {
    check(
        "1.0 tcp_connect left#1 10.0.0.1:4000 > 10.0.0.2:5000
         1.0 tcp_connect right#2 10.0.0.2:5000 > 10.0.0.1:4000
         1.001 pkt 10.0.0.1:4000 > 10.0.0.2:5000 S seq=1 = left exact | right exact
         1.001 pkt 10.0.0.2:5000 > 10.0.0.1:4000 S seq=2 = right exact | left exact
         1.002 pkt 10.0.0.1:4000 > 10.0.0.2:5000 S. seq=1 ack=3 = left exact | right exact",
    );
}

#[test]
fn a_lost_close_ends_where_the_next_life_begins() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80 ns=5
         5.0 tcp_connect wget#2 10.0.0.1:4000 > 10.0.0.2:80 ns=5
         3.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote
         5.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = wget exact | remote",
    );
    // Where they may be in two namespaces, both may go on.
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         5.0 tcp_connect wget#2 10.0.0.1:4000 > 10.0.0.2:80
         5.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = ambiguous | remote",
    );
}

#[test]
fn a_failed_connect_ends_a_life() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         1.1 tcp_connect_fail curl#1 10.0.0.1:4000 > 10.0.0.2:80 error=ECONNREFUSED
         1.01 pkt 10.0.0.1:4000 > 10.0.0.2:80 S = curl exact | remote
         1.05 pkt 10.0.0.2:80 > 10.0.0.1:4000 R. = remote | curl exact
         1.2 pkt 10.0.0.1:4000 > 10.0.0.2:80 R = curl late | remote",
    );
}

#[test]
fn a_socket_that_was_there_before_is_exact_from_the_start() {
    check(
        "0.1 socket sshd#1 10.0.0.1:22 > 10.0.0.9:5000 proto=tcp
         0.05 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | sshd early
         50.0 pkt 10.0.0.9:5000 > 10.0.0.1:22 . = remote | sshd exact",
    );
}

#[test]
fn a_new_connection_that_nobody_recorded_is_not_that_of_a_lost_close() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         0.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=100 = curl early | remote
         2.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | remote
         5.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=900 = no-socket | remote
         6.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = no-socket | remote",
    );
    // A SYN from elsewhere may be forged: until it is answered, the old socket is there.
    check(
        "1.0 tcp_accept nginx#1 10.0.0.1:80 > 10.0.0.9:5000
         0.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=100 = remote | nginx early
         5.0 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=900 = remote | nginx exact
         5.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 . seq=7 ack=300 = nginx exact | remote",
    );
    check(
        "1.0 tcp_accept nginx#1 10.0.0.1:80 > 10.0.0.9:5000
         0.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=100 = remote | nginx early
         5.0 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=900 = remote | no-socket
         5.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 . seq=7 ack=300 = nginx exact | remote
         5.2 pkt 10.0.0.1:80 > 10.0.0.9:5000 S. seq=7 ack=901 = no-socket | remote
         5.3 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | no-socket",
    );
}

#[test]
fn after_the_recording_a_new_connection_is_not_the_last_one() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         0.9 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=100 = curl early | remote
         90.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         101.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=900 = after-recording | remote
         101.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=7 ack=901 = remote | after-recording
         101.2 pkt 10.0.0.1:4000 > 10.0.0.2:80 . seq=901 ack=8 = after-recording | remote
         101.3 pkt 10.0.0.2:80 > 10.0.0.1:4000 . seq=8 ack=950 = remote | after-recording",
    );
}
