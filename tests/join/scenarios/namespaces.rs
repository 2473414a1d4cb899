//! The same addresses in several network namespaces, and on several hosts.

use crate::spec::check;

/// Two containers with the same address, each on its own cable.
const TWINS: &str = "\
    0.1 interface if=eth0 index=2 10.0.0.1 ns=5
    0.1 interface if=eth0 index=2 10.0.0.1 ns=6
    0.1 interface if=veth5 index=7 ns=5
    0.1 interface if=veth6 index=8 ns=6
    1.0 tcp_connect left#1 10.0.0.1:4000 > 10.0.0.2:80 ns=5
    1.0 tcp_connect right#2 10.0.0.1:4000 > 10.0.0.2:80 ns=6
";

fn twins(packets: &str) {
    check(&format!("{TWINS}{packets}"));
}

#[test]
fn the_namespace_a_packet_was_seen_in_tells() {
    twins(
        "1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . ns=5 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . ns=6 = right exact | remote",
    );
}

#[test]
fn an_interface_that_one_of_them_has_tells() {
    twins(
        "1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=veth5 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=veth6 = right exact | remote",
    );
}

#[test]
fn an_interface_that_both_have_tells_nothing() {
    twins(
        "1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=eth0 = ambiguous | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=eth9 = ambiguous | remote",
    );
}

#[test]
fn a_capture_of_all_interfaces_tells_by_their_numbers() {
    twins(
        "1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . index=7 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . index=8 = right exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . index=2 = ambiguous | remote",
    );
}

#[test]
fn who_owns_the_address_tells_wherever_it_was_seen() {
    check(
        "0.1 interface if=lan0 index=3 10.9.0.1 ns=1
         0.1 interface if=eth0 index=2 10.0.0.1 ns=5
         0.1 interface if=eth0 index=2 10.0.0.7 ns=6
         1.0 tcp_connect left#1 10.0.0.1:4000 > 10.0.0.2:80 ns=5
         1.0 tcp_connect stray#2 10.0.0.1:4000 > 10.0.0.2:80 ns=6
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . ns=5 if=eth0 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . ns=1 if=lan0 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = left exact | remote",
    );
}

#[test]
fn one_packet_on_several_interfaces_is_one_processs() {
    check(
        "0.1 interface if=docker0 index=3 172.17.0.1 ns=1
         0.1 interface if=veth5 index=4 ns=1
         0.1 interface if=eth0 index=2 172.17.0.2 ns=5
         1.0 tcp_connect curl#1 172.17.0.1:4000 > 172.17.0.2:80 ns=1
         1.1 tcp_accept httpd#2 172.17.0.2:80 > 172.17.0.1:4000 ns=5
         1.50 pkt 172.17.0.1:4000 > 172.17.0.2:80 . ns=1 if=docker0 = curl exact | httpd exact
         1.51 pkt 172.17.0.1:4000 > 172.17.0.2:80 . ns=1 if=veth5 = curl exact | httpd exact
         1.52 pkt 172.17.0.1:4000 > 172.17.0.2:80 . ns=5 if=eth0 = curl exact | httpd exact
         1.53 pkt 172.17.0.1:4000 > 172.17.0.2:80 . index=4 = curl exact | httpd exact",
    );
}

#[test]
fn loopback_is_where_it_was_seen() {
    check(
        "0.1 interface if=lo index=1 127.0.0.1 ns=5
         0.1 interface if=lo index=1 127.0.0.1 ns=6
         1.0 tcp_connect left#1 127.0.0.1:4000 > 127.0.0.1:80 ns=5
         1.0 tcp_accept lefts#2 127.0.0.1:80 > 127.0.0.1:4000 ns=5
         1.0 tcp_connect right#3 127.0.0.1:4000 > 127.0.0.1:80 ns=6
         1.5 pkt 127.0.0.1:4000 > 127.0.0.1:80 . if=lo ns=5 = left exact | lefts exact
         1.5 pkt 127.0.0.1:4000 > 127.0.0.1:80 . if=lo ns=6 = right exact | no-socket
         1.5 pkt 127.0.0.1:4000 > 127.0.0.1:80 . if=lo = ambiguous | lefts exact",
    );
}

#[test]
fn a_wildcard_listener_has_only_its_own_addresses() {
    // The host's web server listens on everything, and the container's address is not its own.
    check(
        "0.1 interface if=docker0 index=3 172.17.0.1 ns=1
         0.1 interface if=eth0 index=2 172.17.0.2 ns=5
         1.0 tcp_listen hosts#1 0.0.0.0:80 ns=1
         1.5 pkt 172.17.0.1:4000 > 172.17.0.2:80 S ns=1 if=docker0 = no-socket | no-socket
         1.5 pkt 172.17.0.2:4000 > 172.17.0.1:80 S ns=1 if=docker0 = no-socket | hosts listener",
    );
}

#[test]
fn each_end_may_be_on_another_host() {
    check(
        "host left
         1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         host right
         1.2 tcp_accept nginx#1 10.0.0.2:80 > 10.0.0.1:4000
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . = curl exact | nginx exact
         1.1 pkt 10.0.0.2:80 > 10.0.0.1:4000 S. = nginx early | curl exact",
    );
}

/// Two machines that know each other as little as their address: 192.168.0.1, like many.
const HOSTS: &str = "\
    host left
    0.1 interface if=eth0 index=2 192.168.0.1 ns=1
    0.1 interface if=leftmost index=3 ns=1
    1.0 tcp_connect lefts#1 192.168.0.1:4000 > 10.0.0.2:80 ns=1
    host right
    0.1 interface if=eth0 index=2 192.168.0.1 ns=1
    1.0 tcp_connect rights#1 192.168.0.1:4000 > 10.0.0.2:80 ns=1
";

#[test]
fn the_host_that_captured_tells() {
    let packet = "1.5 pkt 192.168.0.1:4000 > 10.0.0.2:80 .";
    check(&format!("{HOSTS}{packet} = ambiguous | remote"));
    check(&format!("{HOSTS}captured-on boot-left\n{packet} = lefts exact | remote"));
    check(&format!("{HOSTS}captured-on boot-right\n{packet} = rights exact | remote"));
    check(&format!("{HOSTS}args --capture-host right\n{packet} = rights exact | remote"));
    // Interfaces that one host alone has.
    check(&format!("{HOSTS}{packet} if=leftmost = lefts exact | remote"));
}

#[test]
fn the_other_end_of_a_veth_tells_and_excludes() {
    let veths = "\
        0.1 interface if=eth0 index=2 10.0.0.1 ns=5
        0.1 interface if=eth0 index=2 10.0.0.1 ns=6
        0.1 interface if=veth5 index=7 ns=1 beyond=5
        0.1 interface if=veth6 index=8 ns=1 beyond=6
        1.0 tcp_connect left#1 10.0.0.1:4000 > 10.0.0.2:80 ns=5
        1.0 tcp_connect right#2 10.0.0.1:4000 > 10.0.0.2:80 ns=6
        1.0 tcp_connect left#3 10.0.0.1:5000 > 10.0.0.2:80 ns=5
    ";
    check(&format!(
        "{veths}
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=veth5 = left exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . if=veth6 = right exact | remote
         1.5 pkt 10.0.0.1:4000 > 10.0.0.2:80 . index=8 = right exact | remote
         // The only socket that is known is behind the other cable.
         1.5 pkt 10.0.0.1:5000 > 10.0.0.2:80 . if=veth5 = left exact | remote
         1.5 pkt 10.0.0.1:5000 > 10.0.0.2:80 . if=veth6 = no-socket | remote"
    ));
}
