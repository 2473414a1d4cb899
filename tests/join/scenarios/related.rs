//! Packets without ports of their own: errors about others, and fragments.

use crate::spec::check;

#[test]
fn an_error_is_about_a_known_packet() {
    check(
        "1.0 tcp_connect curl#1 10.0.0.1:4000 > 10.0.0.2:80
         2.0 tcp_close curl#1 10.0.0.1:4000 > 10.0.0.2:80
         // A router on the way, the destination itself, and about nobody's packet.
         1.5 pkt 10.0.7.7 > 10.0.0.1 error 10.0.0.1:4000 > 10.0.0.2:80 . = remote | curl related
         1.5 pkt 10.0.0.2 > 10.0.0.1 error 10.0.0.1:4000 > 10.0.0.2:80 . = remote | curl related
         1.5 pkt 10.0.0.2 > 10.0.0.1 error 10.0.0.1:4001 > 10.0.0.2:80 . = remote | no-socket
         1.5 pkt 10.0.0.2 > 10.0.0.1 echo = no-transport | no-transport",
    );
}

#[test]
fn the_destination_itself_may_be_known() {
    check(
        "1.0 udp_connect dig#1 10.0.0.1:4000 > 10.0.0.2:53
         1.0 udp_connect named#2 10.0.0.2:53 > 10.0.0.1:4000
         1.5 pkt 10.0.0.2 > 10.0.0.1 error 10.0.0.1:4000 > 10.0.0.2:53 udp = named related | dig related
         1.5 pkt 10.0.7.7 > 10.0.0.1 error 10.0.0.1:4000 > 10.0.0.2:53 udp = remote | dig related",
    );
}

#[test]
fn an_error_about_a_translated_packet() {
    check(
        "0.1 interface if=lan0 index=2 10.99.0.1 ns=1
         1.000 tcp_connect wget#1 172.17.0.2:6000 > 10.99.0.2:9000 ns=5
         1.001 nat 172.17.0.2:6000 > 10.99.0.2:9000 => 10.99.0.1:61000 > 10.99.0.2:9000 ns=1
         1.500 pkt 10.99.0.7 > 10.99.0.1 error 10.99.0.1:61000 > 10.99.0.2:9000 . ns=1 = remote | wget nat+related",
    );
}

#[test]
fn fragments_belong_to_the_first_in_any_order() {
    check(
        "1.0 udp_connect dig#1 10.0.0.1:4000 > 10.0.0.2:53
         1.50 pkt 10.0.0.1 > 10.0.0.2 udp later=7 = dig related | remote
         1.51 pkt 10.0.0.1:4000 > 10.0.0.2:53 udp fragment=7 = dig exact | remote
         1.52 pkt 10.0.0.1 > 10.0.0.2 udp later=7 = dig related | remote
         // The first of this one is not there; of that one, from another sender.
         1.53 pkt 10.0.0.1 > 10.0.0.2 udp later=8 = no-transport | no-transport
         1.53 pkt 10.0.0.3 > 10.0.0.2 udp later=7 = no-transport | no-transport",
    );
}
