//! What the files leave open is nobody's: rows were lost, packets are missing, or several namespaces have
//! one address and the capture doesn't tell them apart.

use crate::spec::check;

#[test]
fn a_socket_that_was_there_does_not_take_its_twins_connections() {
    check(
        "recorded 10 70
         10.0 interface if=eth0 index=2 10.0.0.1 ns=1
         10.0 interface if=eth0 index=2 172.17.0.2 ns=2
         10.0 interface if=eth0 index=2 172.17.0.2 ns=3
         10.1 socket curl#1 172.17.0.2:4000 > 192.0.2.9:443 ns=3
         // Of the namespace that no row of this tuple is of, or of the other: eth0 of the host shows both.
         4.0 pkt 172.17.0.2:4000 > 192.0.2.9:443 S seq=100 if=eth0 ns=1 = before-recording | remote
         4.1 pkt 192.0.2.9:443 > 172.17.0.2:4000 S. seq=7 ack=101 if=eth0 ns=1 = remote | before-recording
         4.2 pkt 172.17.0.2:4000 > 192.0.2.9:443 . seq=101 ack=8 if=eth0 ns=1 = before-recording | remote",
    );
}

#[test]
fn before_its_answer_a_bare_reset_is_not_for_who_accepts_later() {
    // The old socket waits in LAST_ACK: it answers the SYN with what it expects, and is reset.
    check(
        "0.1 interface if=lo index=1 127.0.0.1 ns=1
         0.5 tcp_connect curl#1 127.0.0.1:4000 > 127.0.0.1:80 ns=1
         1.70002 tcp_accept worker#2 127.0.0.1:80 > 127.0.0.1:4000 ns=1
         0.50001 pkt 127.0.0.1:4000 > 127.0.0.1:80 S seq=900 ns=1 = curl exact | worker early
         0.50003 pkt 127.0.0.1:80 > 127.0.0.1:4000 . seq=70 ack=300 ns=1 = no-socket | curl exact
         0.50005 pkt 127.0.0.1:4000 > 127.0.0.1:80 R seq=300 ns=1 = curl exact | no-socket
         1.70000 pkt 127.0.0.1:4000 > 127.0.0.1:80 S seq=900 ns=1 = curl exact | worker early
         1.70001 pkt 127.0.0.1:80 > 127.0.0.1:4000 S. seq=5 ack=901 ns=1 = worker early | curl exact",
    );
}

#[test]
fn what_a_closed_socket_never_counted_is_not_its_last() {
    check(
        "1.0 tcp_accept nginx#1 10.0.0.1:80 > 10.0.0.9:5000
         0.9 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=100 = remote | nginx early
         2.0 tcp_close nginx#1 10.0.0.1:80 > 10.0.0.9:5000 sent=500 received=20
         // One SYN, 20 bytes, one FIN.
         2.1 pkt 10.0.0.9:5000 > 10.0.0.1:80 R seq=122 = remote | nginx late
         2.1 pkt 10.0.0.9:5000 > 10.0.0.1:80 R seq=123 = remote | no-socket
         2.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 . seq=1 ack=122 = nginx late | remote
         2.1 pkt 10.0.0.1:80 > 10.0.0.9:5000 . seq=1 ack=90 = no-socket | remote",
    );
}

#[test]
fn a_udp_socket_is_not_its_twins() {
    // A connected one in one namespace, one that is bound to every address in another.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         0.1 interface if=eth0 index=2 172.17.0.2 ns=2
         0.1 interface if=eth0 index=2 172.17.0.2 ns=3
         7.0 udp_send dig#1 0.0.0.0:4000 > 192.0.2.9:53 ns=2
         8.0 udp_connect host#2 172.17.0.2:4000 > 192.0.2.9:53 ns=3
         9.0 pkt 172.17.0.2:4000 > 192.0.2.9:53 udp if=eth0 ns=1 = ambiguous | remote
         9.1 pkt 192.0.2.9:53 > 172.17.0.2:4000 udp if=eth0 ns=1 = remote | ambiguous
         9.2 pkt 172.17.0.2:4000 > 192.0.2.9:53 udp if=eth0 ns=2 = dig exact | remote
         9.3 pkt 172.17.0.2:4000 > 192.0.2.9:53 udp if=eth0 ns=3 = host exact | remote",
    );
}

#[test]
fn while_a_translation_changes_it_may_be_either() {
    // The second row may be 20 ms late.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         0.1 interface if=eth0 index=2 172.17.0.2 ns=2
         0.1 interface if=eth0 index=2 172.17.0.3 ns=3
         0.5 udp_bind one#1 0.0.0.0:8080 ns=2
         0.5 udp_bind two#2 0.0.0.0:8080 ns=3
         1.0 nat 192.0.2.9:4000 > 10.0.0.1:4443 => 192.0.2.9:4000 > 172.17.0.2:8080 ns=1 proto=udp
         9.0 nat 192.0.2.9:4000 > 10.0.0.1:4443 => 192.0.2.9:4000 > 172.17.0.3:8080 ns=1 proto=udp
         8.900 pkt 192.0.2.9:4000 > 10.0.0.1:4443 udp if=eth0 ns=1 = remote | one nat+listener
         8.990 pkt 192.0.2.9:4000 > 10.0.0.1:4443 udp if=eth0 ns=1 = remote | ambiguous
         9.010 pkt 192.0.2.9:4000 > 10.0.0.1:4443 udp if=eth0 ns=1 = remote | two nat+listener",
    );
}

#[test]
fn a_peer_of_a_shared_port_was_another_sockets_before() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.0 udp_bind one#1 0.0.0.0:8080 ns=1
         1.0 udp_bind two#2 0.0.0.0:8080 ns=1
         5.0 udp_recv two#2 0.0.0.0:8080 > 192.0.2.9:4000 ns=1
         2.0 pkt 192.0.2.9:4000 > 10.0.0.1:8080 udp if=eth0 ns=1 = remote | ambiguous
         6.0 pkt 192.0.2.9:4000 > 10.0.0.1:8080 udp if=eth0 ns=1 = remote | two exact",
    );
}
