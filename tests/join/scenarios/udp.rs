//! Datagrams: connected, unconnected, bound to everything, several on a port.

use crate::spec::check;

#[test]
fn a_connected_socket_is_its_tuple() {
    check(
        "1.0 udp_connect dig#1 10.0.0.1:4000 > 10.0.0.2:53
         2.0 udp_close dig#1 10.0.0.1:4000 > 10.0.0.2:53
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:53 udp = dig exact | remote
         1.6 pkt 10.0.0.2:53 > 10.0.0.1:4000 udp = remote | dig exact",
    );
}

#[test]
fn nobody_receives_before_the_first_row_or_after_the_close() {
    check(
        "1.0 udp_connect dig#1 10.0.0.1:4000 > 10.0.0.2:53
         2.0 udp_close dig#1 10.0.0.1:4000 > 10.0.0.2:53
         0.9 pkt 10.0.0.2:53 > 10.0.0.1:4000 udp = remote | no-socket
         0.9 pkt 10.0.0.1:4000 > 10.0.0.2:53 udp = dig early | remote
         2.1 pkt 10.0.0.1:4000 > 10.0.0.2:53 udp = dig late | remote
         2.1 pkt 10.0.0.2:53 > 10.0.0.1:4000 udp = remote | no-socket
         2.3 pkt 10.0.0.1:4000 > 10.0.0.2:53 udp = no-socket | remote",
    );
}

#[test]
fn a_bound_socket_gets_what_comes_to_its_port() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         1.0 udp_bind named#1 0.0.0.0:53 ns=5
         9.0 udp_close named#1 0.0.0.0:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | named listener
         1.6 pkt 10.0.0.2:53 > 10.0.0.9:4000 udp = named listener | remote
         1.7 pkt 10.0.0.9:4000 > 10.0.0.2:54 udp = remote | no-socket
         9.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | no-socket",
    );
}

#[test]
fn peers_of_an_unconnected_socket_are_exact() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         1.0 udp_bind named#1 0.0.0.0:53 ns=5
         2.0 udp_recv named#1 0.0.0.0:53 > 10.0.0.9:4000 ns=5 count=1
         2.1 udp_send named#1 0.0.0.0:53 > 10.0.0.8:4000 ns=5 count=1
         2.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | named exact
         2.5 pkt 10.0.0.2:53 > 10.0.0.8:4000 udp = named exact | remote",
    );
}

#[test]
fn several_processes_on_a_port_have_no_name() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         1.0 udp_bind first#1 0.0.0.0:53 ns=5
         1.0 udp_bind second#2 0.0.0.0:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | ambiguous",
    );
    // Several sockets of one process are one process.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         1.0 udp_bind named#1 0.0.0.0:53 ns=5
         1.0 udp_bind named#2 0.0.0.0:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | named listener",
    );
}

#[test]
fn a_specific_address_beats_the_wildcard() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         0.1 interface if=eth1 index=3 10.0.0.3 ns=5
         1.0 udp_bind all#1 0.0.0.0:53 ns=5
         1.0 udp_bind one#2 10.0.0.2:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | one listener
         1.5 pkt 10.0.0.9:4000 > 10.0.0.3:53 udp = remote | all listener",
    );
}

#[test]
fn both_families_of_a_wildcard() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         0.1 interface if=eth0 index=2 fd00::2 ns=5
         1.0 udp_bind both#1 [::]:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | both listener
         1.5 pkt [fd00::9]:4000 > [fd00::2]:53 udp = remote | both listener",
    );
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         0.1 interface if=eth0 index=2 fd00::2 ns=5
         1.0 udp_bind six#1 [::]:53 ns=5 v6only=true
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | no-socket
         1.5 pkt [fd00::9]:4000 > [fd00::2]:53 udp = remote | six listener",
    );
    check(
        "0.1 interface if=eth0 index=2 10.0.0.2 ns=5
         1.0 udp_bind six#1 [::]:53 ns=5
         1.0 udp_bind four#2 0.0.0.0:53 ns=5
         1.5 pkt 10.0.0.9:4000 > 10.0.0.2:53 udp = remote | four listener",
    );
}

#[test]
fn what_may_be_a_former_sockets_is_not_the_next_ones() {
    // Before the recording somebody else may have had the port.
    check(
        "recorded 10 100
         10.0 interface if=eth0 index=2 10.0.0.1 ns=1
         10.5 udp_connect dig#1 10.0.0.1:5000 > 10.0.0.9:53 ns=1
         8.0 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = before-recording | remote
         10.4 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = dig early | remote",
    );
    // Or while rows were lost.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         5.0 lost error=ring count=1
         7.0 udp_connect dig#1 10.0.0.1:5000 > 10.0.0.9:53 ns=1
         6.0 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = no-socket | remote
         6.9 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = no-socket | remote",
    );
    // And another socket that has the port has it.
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.0 udp_bind first#1 10.0.0.1:5000 ns=1
         2.0 udp_close first#1 10.0.0.1:5000 ns=1
         2.1 udp_connect second#2 10.0.0.1:5000 > 10.0.0.9:53 ns=1
         1.5 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = first listener | remote
         2.05 pkt 10.0.0.1:5000 > 10.0.0.9:53 udp = second early | remote",
    );
}

#[test]
fn after_a_loss_only_what_is_told_again_is_open() {
    check(
        "0.1 interface if=eth0 index=2 10.0.0.1 ns=1
         1.0 udp_bind gone#1 10.0.0.1:5000 ns=1
         1.0 udp_bind there#2 10.0.0.1:6000 ns=1
         5.0 lost error=ring count=1
         6.0 socket there#2 10.0.0.1:6000 ns=1 proto=udp
         2.0 pkt 10.0.0.9:9 > 10.0.0.1:5000 udp = remote | gone listener
         9.0 pkt 10.0.0.9:9 > 10.0.0.1:5000 udp = remote | ambiguous
         9.0 pkt 10.0.0.9:9 > 10.0.0.1:6000 udp = remote | there listener",
    );
}
