//! Proxies in user space: two connections of one process. The container is known by the proxy's
//! arguments; which connection belongs to which, only by evidence.

use crate::spec::check;

/// Both connections of a client through the proxy of port 4443, to a container's server.
fn through(client: u32, bytes: u32) -> String {
    let (front, back) = (client * 10 + 1, client * 10 + 2);
    let (from, to) = (5000 + client, 6000 + client);
    let (up, down) = (bytes, bytes * 2);
    format!(
        "1.000 tcp_connect curl{client}#{client} 127.0.0.1:{from} > 127.0.0.1:4443 ns=1
         1.001 tcp_accept proxy-4443#{front} 127.0.0.1:4443 > 127.0.0.1:{from} ns=1
         1.010 tcp_connect proxy-4443#{back} 172.17.0.1:{to} > 172.17.0.2:8080 ns=1
         1.011 tcp_accept httpd#{client}00 172.17.0.2:8080 > 172.17.0.1:{to} ns=5 container=web
         2.000 tcp_close curl{client}#{client} 127.0.0.1:{from} > 127.0.0.1:4443 ns=1
         2.001 tcp_close proxy-4443#{front} 127.0.0.1:4443 > 127.0.0.1:{from} ns=1 sent={down} received={up}
         2.002 tcp_close proxy-4443#{back} 172.17.0.1:{to} > 172.17.0.2:8080 ns=1 sent={up} received={down}
         2.003 tcp_close httpd#{client}00 172.17.0.2:8080 > 172.17.0.1:{to} ns=5 container=web
         "
    )
}

const PLACES: &str = "\
    0.1 interface if=lo index=1 127.0.0.1 ns=1
    0.1 interface if=docker0 index=3 172.17.0.1 ns=1
    0.1 interface if=eth0 index=4 172.17.0.2 ns=5 container=web
";

#[test]
fn equal_bytes_both_ways_pair_two_connections() {
    check(&format!(
        "{PLACES}{}{}
         1.5 pkt 127.0.0.1:5001 > 127.0.0.1:4443 . if=lo ns=1 = curl1 exact | docker-proxy exact via httpd@web
         1.5 pkt 172.17.0.1:6001 > 172.17.0.2:8080 . ns=1 = docker-proxy exact via curl1 | httpd@web exact
         1.5 pkt 172.17.0.2:8080 > 172.17.0.1:6002 . ns=1 = httpd@web exact | docker-proxy exact via curl2",
        through(1, 100),
        through(2, 200),
    ));
}

#[test]
fn two_that_moved_the_same_bytes_are_not_told_apart() {
    check(&format!(
        "{PLACES}{}{}
         1.5 pkt 127.0.0.1:5001 > 127.0.0.1:4443 . if=lo ns=1 = curl1 exact | docker-proxy exact via @web ambiguous",
        through(1, 100),
        through(2, 100),
    ));
}

#[test]
fn what_was_seen_to_be_moved_pairs_them() {
    check(&format!(
        "{PLACES}{}{}
         1.2 forward proxy-4443#11 peer=12
         1.2 forward proxy-4443#21 peer=22
         1.5 pkt 127.0.0.1:5001 > 127.0.0.1:4443 . if=lo ns=1 = curl1 exact | docker-proxy exact via httpd@web
         1.5 pkt 172.17.0.1:6002 > 172.17.0.2:8080 . ns=1 = docker-proxy exact via curl2 | httpd@web exact",
        through(1, 100),
        through(2, 100),
    ));
}

#[test]
fn a_front_of_ipv6_may_have_a_back_of_ipv4() {
    check(
        "0.1 interface if=lo index=1 ::1 ns=1
         0.1 interface if=docker0 index=3 172.17.0.1 ns=1
         0.1 interface if=eth0 index=4 172.17.0.2 ns=5 container=web
         1.000 tcp_connect curl#1 [::1]:5001 > [::1]:4443 ns=1
         1.001 tcp_accept proxy-v6#11 [::1]:4443 > [::1]:5001 ns=1
         1.010 tcp_connect proxy-v6#12 172.17.0.1:6001 > 172.17.0.2:8080 ns=1
         1.011 tcp_accept httpd#100 172.17.0.2:8080 > 172.17.0.1:6001 ns=5 container=web
         1.2 forward proxy-v6#11 peer=12
         1.5 pkt [::1]:5001 > [::1]:4443 . if=lo ns=1 = curl exact | docker-proxy exact via httpd@web",
    );
}

#[test]
fn other_processes_are_behind_nobody() {
    // Two connections of one process that moved the same bytes: no proxy by its name.
    check(
        "1.0 tcp_accept haproxy#1 10.0.0.1:80 > 10.0.0.9:5000
         1.0 tcp_connect haproxy#2 10.0.0.1:6000 > 10.0.0.3:8080
         2.0 tcp_close haproxy#1 10.0.0.1:80 > 10.0.0.9:5000 sent=5 received=7
         2.0 tcp_close haproxy#2 10.0.0.1:6000 > 10.0.0.3:8080 sent=7 received=5
         1.5 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | haproxy exact",
    );
}
