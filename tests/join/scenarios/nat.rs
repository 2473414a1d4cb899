//! Translated addresses: by what the kernel told of each connection, by the ports that a container's
//! engine has published, and by a table of the user's.

use crate::spec::check;

/// A client outside, a host that publishes port 4443, and a container behind it.
const PUBLISHED: &str = "\
    0.1 interface if=lan0 index=2 10.99.0.1 ns=1
    0.1 interface if=docker0 index=3 172.17.0.1 ns=1
    0.1 interface if=eth0 index=4 172.17.0.2 ns=5 container=web
    1.100 tcp_accept httpd#1 172.17.0.2:8080 > 10.99.0.2:5000 ns=5 container=web
    2.0 tcp_close httpd#1 172.17.0.2:8080 > 10.99.0.2:5000 ns=5 container=web
";

/// What the kernel says of it.
const DNAT: &str =
    "1.000 nat 10.99.0.2:5000 > 10.99.0.1:4443 => 10.99.0.2:5000 > 172.17.0.2:8080 ns=1\n";

#[test]
fn the_receiver_behind_a_translated_destination() {
    check(&format!(
        "{PUBLISHED}{DNAT}
         1.001 pkt 10.99.0.2:5000 > 10.99.0.1:4443 S if=lan0 = remote | httpd@web nat+early
         1.002 pkt 10.99.0.2:5000 > 172.17.0.2:8080 S if=docker0 = remote | httpd@web early
         1.003 pkt 10.99.0.1:4443 > 10.99.0.2:5000 S. seq=7 ack=101 if=lan0 = httpd@web nat+early | remote
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4443 . if=lan0 = remote | httpd@web nat+exact
         2.100 pkt 10.99.0.2:5000 > 10.99.0.1:4443 F. if=lan0 = remote | httpd@web nat+late
         // Another client's, of which nobody knows where it went.
         1.500 pkt 10.99.0.3:5000 > 10.99.0.1:4443 . if=lan0 = remote | no-socket"
    ));
}

#[test]
fn without_the_translation_nobody_is_named() {
    check(&format!(
        "{PUBLISHED}
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4443 . if=lan0 = remote | no-socket
         1.500 pkt 10.99.0.2:5000 > 172.17.0.2:8080 . if=docker0 = remote | httpd@web exact"
    ));
}

#[test]
fn an_engine_that_listens_on_a_translated_port_does_not_get_it() {
    check(&format!(
        "{PUBLISHED}{DNAT}
         0.5 tcp_listen dockerd#9 0.0.0.0:4443 ns=1
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4443 . if=lan0 = remote | httpd@web nat+exact
         // To nobody's knowledge translated: it may be the listener's.
         1.500 pkt 10.99.0.3:5000 > 10.99.0.1:4443 S if=lan0 = remote | dockerd listener"
    ));
}

#[test]
fn the_sender_behind_a_translated_source() {
    check(
        "0.1 interface if=lan0 index=2 10.99.0.1 ns=1
         0.1 interface if=eth0 index=4 172.17.0.2 ns=5
         1.000 tcp_connect wget#1 172.17.0.2:6000 > 10.99.0.2:9000 ns=5 container=web
         1.001 nat 172.17.0.2:6000 > 10.99.0.2:9000 => 10.99.0.1:61000 > 10.99.0.2:9000 ns=1
         1.001 pkt 172.17.0.2:6000 > 10.99.0.2:9000 S if=eth0 ns=5 = wget@web exact | remote
         1.002 pkt 10.99.0.1:61000 > 10.99.0.2:9000 S if=lan0 ns=1 = wget@web nat+exact | remote
         1.003 pkt 10.99.0.2:9000 > 10.99.0.1:61000 S. if=lan0 ns=1 = remote | wget@web nat+exact
         1.003 pkt 10.99.0.2:9000 > 10.99.0.1:61001 S. if=lan0 ns=1 = remote | no-socket",
    );
}

#[test]
fn a_hairpin_is_seen_under_three_tuples() {
    // A container reaches itself through the host's published port: on the bridge the packet is
    // half translated.
    check(
        "0.1 interface if=docker0 index=3 172.17.0.1 ns=1
         0.1 interface if=lan0 index=2 10.99.0.1 ns=1
         0.1 interface if=eth0 index=4 172.17.0.2 ns=5
         1.000 tcp_connect wget#1 172.17.0.2:6000 > 10.99.0.1:4443 ns=5
         1.100 tcp_accept httpd#2 172.17.0.2:8080 > 172.17.0.1:6000 ns=5
         1.001 nat 172.17.0.2:6000 > 10.99.0.1:4443 => 172.17.0.1:6000 > 172.17.0.2:8080 ns=1
         1.500 pkt 172.17.0.2:6000 > 10.99.0.1:4443 . if=eth0 ns=5 = wget exact | httpd nat+exact
         1.501 pkt 172.17.0.2:6000 > 172.17.0.2:8080 . if=docker0 ns=1 = wget nat+exact | httpd nat+exact
         1.502 pkt 172.17.0.1:6000 > 172.17.0.2:8080 . if=eth0 ns=5 = wget nat+exact | httpd exact
         1.503 pkt 172.17.0.2:8080 > 172.17.0.1:6000 . if=eth0 ns=5 = httpd exact | wget nat+exact",
    );
}

#[test]
fn loopback_is_translated_where_it_is() {
    check(
        "0.1 interface if=lo index=1 127.0.0.1 ns=1
         0.1 interface if=docker0 index=3 172.17.0.1 ns=1
         0.1 interface if=eth0 index=4 172.17.0.2 ns=5
         1.000 tcp_connect curl#1 127.0.0.1:6000 > 127.0.0.1:4443 ns=1
         1.000 tcp_connect other#3 127.0.0.1:6000 > 127.0.0.1:4443 ns=5
         1.100 tcp_accept httpd#2 172.17.0.2:8080 > 172.17.0.1:6000 ns=5
         1.001 nat 127.0.0.1:6000 > 127.0.0.1:4443 => 172.17.0.1:6000 > 172.17.0.2:8080 ns=1
         1.500 pkt 172.17.0.1:6000 > 172.17.0.2:8080 . if=eth0 ns=5 = curl nat+exact | httpd exact",
    );
}

#[test]
fn translations_are_followed_one_after_the_other() {
    check(
        "1.000 tcp_connect curl#1 10.0.0.1:4000 > 10.0.1.1:80
         1.100 tcp_accept httpd#2 10.0.3.2:8080 > 10.0.3.1:4001
         1.001 nat 10.0.0.1:4000 > 10.0.1.1:80 => 10.0.2.1:4000 > 10.0.2.2:81 ns=1
         1.002 nat 10.0.2.1:4000 > 10.0.2.2:81 => 10.0.3.1:4001 > 10.0.3.2:8080 ns=2
         1.500 pkt 10.0.0.1:4000 > 10.0.1.1:80 . = curl exact | httpd nat+exact
         1.500 pkt 10.0.2.1:4000 > 10.0.2.2:81 . = curl nat+exact | httpd nat+exact
         1.500 pkt 10.0.3.1:4001 > 10.0.3.2:8080 . = curl nat+exact | httpd exact",
    );
}

#[test]
fn a_tuple_translated_again_leads_elsewhere_from_then_on() {
    check(
        "1.000 nat 10.0.0.9:5000 > 10.0.0.1:80 => 10.0.0.9:5000 > 172.17.0.2:8080 ns=1
         1.001 tcp_accept first#1 172.17.0.2:8080 > 10.0.0.9:5000 ns=5
         2.000 tcp_close first#1 172.17.0.2:8080 > 10.0.0.9:5000 ns=5
         9.010 nat 10.0.0.9:5000 > 10.0.0.1:80 => 10.0.0.9:5000 > 172.17.0.3:8080 ns=1
         9.002 tcp_accept second#2 172.17.0.3:8080 > 10.0.0.9:5000 ns=6
         // The end of the first is told late.
         30.0 nat_end 10.0.0.9:5000 > 10.0.0.1:80 => 10.0.0.9:5000 > 172.17.0.2:8080 ns=1
         1.500 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | first nat+exact
         8.000 pkt 10.0.0.9:5000 > 10.0.0.1:80 R = remote | first nat+late
         9.000 pkt 10.0.0.9:5000 > 10.0.0.1:80 S seq=900 = remote | second nat+early
         9.500 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | second nat+exact
         31.00 pkt 10.0.0.9:5000 > 10.0.0.1:80 . = remote | second nat+exact",
    );
}

#[test]
fn published_ports_lead_to_the_container() {
    check(&format!(
        "{PUBLISHED}
         0.5 publish 0.0.0.0:4443 => 172.17.0.2:8080 ns=1 container=web
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4443 . if=lan0 = remote | httpd@web nat+exact
         1.500 pkt 10.99.0.2:5001 > 10.99.0.1:4443 . if=lan0 = remote | no-socket
         1.500 pkt 10.99.0.2:5000 > 10.99.0.1:4444 . if=lan0 = remote | no-socket"
    ));
}

#[test]
fn a_published_port_with_a_listener_may_be_either_s() {
    check(&format!(
        "{PUBLISHED}
         0.5 publish 0.0.0.0:4443 => 172.17.0.2:8080 ns=1 container=web
         0.5 tcp_listen dockerd#9 0.0.0.0:4443 ns=1
         1.500 pkt 10.99.0.3:7000 > 10.99.0.1:4443 S if=lan0 = remote | ambiguous"
    ));
}

#[test]
fn a_table_of_the_users_leads_on() {
    check(&format!(
        "{PUBLISHED}
         file nat.csv proto,addr,port,to_addr,to_port tcp,203.0.113.7,443,172.17.0.2,8080
         args --nat nat.csv
         1.500 pkt 10.99.0.2:5000 > 203.0.113.7:443 . if=lan0 = remote | httpd@web nat+exact
         1.500 pkt 10.99.0.2:5000 > 203.0.113.8:443 . if=lan0 = remote | remote"
    ));
}

#[test]
fn the_same_translation_again_is_another_connections() {
    // One container's, another's, and the first one's once more, before the ends are told.
    check(
        "0.1 interface if=lan0 index=2 10.99.0.1 ns=1
         0.1 interface if=eth0 index=4 172.17.0.2 ns=5
         0.1 interface if=eth0 index=4 172.17.0.3 ns=6
         1.0 tcp_connect one#1 172.17.0.2:4000 > 10.99.0.2:80 ns=5
         1.001 nat 172.17.0.2:4000 > 10.99.0.2:80 => 10.99.0.1:4000 > 10.99.0.2:80 ns=1 ct=1
         2.0 tcp_close one#1 172.17.0.2:4000 > 10.99.0.2:80 ns=5
         3.0 tcp_connect two#2 172.17.0.3:4000 > 10.99.0.2:80 ns=6
         3.001 nat 172.17.0.3:4000 > 10.99.0.2:80 => 10.99.0.1:4000 > 10.99.0.2:80 ns=1 ct=2
         4.0 tcp_close two#2 172.17.0.3:4000 > 10.99.0.2:80 ns=6
         5.0 tcp_connect three#3 172.17.0.2:4000 > 10.99.0.2:80 ns=5
         5.001 nat 172.17.0.2:4000 > 10.99.0.2:80 => 10.99.0.1:4000 > 10.99.0.2:80 ns=1 ct=3
         1.5 pkt 10.99.0.1:4000 > 10.99.0.2:80 . if=lan0 = one nat+exact | remote
         3.5 pkt 10.99.0.1:4000 > 10.99.0.2:80 . if=lan0 = two nat+exact | remote
         5.5 pkt 10.99.0.1:4000 > 10.99.0.2:80 . if=lan0 = three nat+exact | remote",
    );
}
