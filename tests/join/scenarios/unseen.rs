//! What a capture tells of connections whose SYN it lacks, and of those that never came to be.

use crate::spec::check;

#[test]
fn a_syn_ack_shows_a_connection_whose_syn_was_not_captured() {
    check(
        "1.0 tcp_accept old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.0 tcp_close old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 F. seq=901 ack=101 = old late | remote
         2.5 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=70 ack=501 = no-socket | remote
         2.6 pkt 10.0.0.1:4000 > 10.0.0.2:80 R seq=501 = remote | no-socket",
    );
    check(
        "1.0 tcp_accept old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.0 tcp_close old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.7 tcp_accept new#2 10.0.0.2:80 > 10.0.0.1:4000
         2.5 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=70 ack=501 = new early | remote
         2.6 pkt 10.0.0.1:4000 > 10.0.0.2:80 . seq=501 ack=71 = remote | new early",
    );
}

#[test]
fn what_resets_a_syn_is_nobodys() {
    check(
        "1.0 tcp_accept old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.0 tcp_close old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.2 tcp_connect curl#3 10.0.0.1:4000 > 10.0.0.2:80
         2.4 tcp_connect_fail curl#3 10.0.0.1:4000 > 10.0.0.2:80
         2.3 pkt 10.0.0.2:80 > 10.0.0.1:4000 R. seq=0 ack=501 = no-socket | curl exact",
    );
    // Of a connection that was there, the number is another one.
    check(
        "1.0 tcp_accept old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.0 tcp_close old#1 10.0.0.2:80 > 10.0.0.1:4000
         2.3 pkt 10.0.0.2:80 > 10.0.0.1:4000 R. seq=901 ack=501 = old late | remote",
    );
}

#[test]
fn a_syn_whose_connection_ended_before_is_not_a_sockets_own() {
    check(
        "recorded 10 100
         10.1 socket nginx#1 10.0.0.2:80 > 10.0.0.1:4000
         1.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=500 = remote | before-recording
         1.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=70 ack=501 = before-recording | remote
         2.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 R seq=501 = remote | before-recording",
    );
    check(
        "recorded 10 100
         10.1 socket nginx#1 10.0.0.2:80 > 10.0.0.1:4000
         1.0 pkt 10.0.0.1:4000 > 10.0.0.2:80 S seq=500 = remote | nginx early
         1.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. seq=70 ack=501 = nginx early | remote",
    );
}

#[test]
fn a_datagram_is_the_open_sockets_not_that_of_one_before_or_after() {
    let sockets = "0.1 interface ns=1 if=eth0 index=2 10.0.0.1
         1.000 udp_connect first#1 10.0.0.1:5000 > 10.0.0.9:53 ns=1
         2.000 udp_close first#1 10.0.0.1:5000 > 10.0.0.9:53 ns=1
         2.001 udp_send second#2 0.0.0.0:5000 > 10.0.0.9:53 ns=1
         2.100 udp_close second#2 0.0.0.0:5000 ns=1
         2.101 udp_connect third#3 10.0.0.1:5000 > 10.0.0.9:53 ns=1";
    check(&format!(
        "{sockets}
         2.0005 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = ambiguous | remote
         2.0010 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = second exact | remote
         2.0990 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = second exact | remote
         2.1020 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = third exact | remote"
    ));
}

#[test]
fn who_listens_is_meant_where_a_packet_was_translated_already() {
    let rows = "0.1 interface ns=1 if=eth0 index=2 10.0.0.1
         0.1 interface ns=2 if=eth0 index=2 172.17.0.2
         0.2 tcp_listen host#1 0.0.0.0:4443 ns=1
         0.2 tcp_listen web#2 0.0.0.0:8080 ns=2
         70.0 nat 10.9.9.9:4000 > 10.0.0.1:4443 => 10.9.9.9:4000 > 172.17.0.2:8080 ns=1";
    check(&format!(
        "{rows}
         70.00 pkt 10.9.9.9:4000 > 10.0.0.1:4443 S if=eth0 ns=1 = remote | web nat+listener
         70.01 pkt 10.9.9.9:4000 > 172.17.0.2:8080 S if=docker0 ns=1 = remote | web listener"
    ));
}
