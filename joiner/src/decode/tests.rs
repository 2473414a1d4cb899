use proptest::prelude::*;

use super::*;

/// An IPv4 header for `payload` of `proto`, 10.0.0.1 to 10.0.0.2.
fn v4(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).expect("short");
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(payload);
    packet
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0xfd; 16]);
    packet.extend([0xfe; 16]);
    packet.extend(payload);
    packet
}

/// Port 4660 to 80, with sequence 1, acknowledgement 2 and flags SYN and ACK.
fn tcp() -> Vec<u8> {
    vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 0, 0, 0, 0, 0, 0]
}

fn udp() -> Vec<u8> {
    vec![0x12, 0x34, 0, 53, 0, 8, 0, 0]
}

fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

fn shown(link: u16, bytes: &[u8]) -> String {
    match decode(LinkType(link), bytes) {
        Ok(packet) => packet.tuple.to_string(),
        Err(Undecoded::Fragment(FragmentKey { id, .. })) => format!("Fragment of {id}"),
        Err(undecoded) => format!("{undecoded:?}"),
    }
}

const V4: &str = "tcp 10.0.0.1:4660 > 10.0.0.2:80";

#[test]
fn every_link_type_leads_to_the_same_tuple() {
    let ip = v4(6, 0, &tcp());
    let with = |header: &[u8]| [header, &ip].concat();
    assert_eq!(shown(1, &ethernet(&[], 0x0800, &ip)), V4);
    assert_eq!(shown(1, &ethernet(&[0x8100], 0x0800, &ip)), V4);
    assert_eq!(shown(1, &ethernet(&[0x88a8, 0x8100, 0x9100], 0x0800, &ip)), V4);
    let sll = [&[0; 14][..], &[8, 0]].concat();
    assert_eq!(shown(113, &with(&sll)), V4);
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    assert_eq!(shown(276, &with(&sll2)), V4);
    for raw in [12, 14, 101, 228] {
        assert_eq!(shown(raw, &ip), V4);
    }
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        assert_eq!(shown(0, &with(&family)), V4);
        assert_eq!(shown(108, &with(&family)), V4);
    }
    let v6_tuple = "udp [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:4660 > \
                    [fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:53";
    for family in [10, 24, 28, 30] {
        assert_eq!(shown(0, &[&[family, 0, 0, 0][..], &v6(17, &udp())].concat()), v6_tuple);
    }
    assert_eq!(shown(229, &v6(17, &udp())), v6_tuple);
}

#[test]
fn what_is_not_ip_or_has_no_ports_says_so() {
    let ip = v4(6, 0, &tcp());
    assert_eq!(shown(1, &ethernet(&[], 0x0806, &[0; 28])), "NotIp");
    assert_eq!(shown(105, &ip), "NotIp");
    assert_eq!(shown(0, &[7, 0, 0, 0, 1]), "NotIp");
    assert_eq!(shown(101, &v4(1, 0, &[8; 8])), "NoTransport");
    assert_eq!(shown(101, &v4(17, 0x0001, &udp())), "Fragment of 0");
    assert_eq!(shown(101, &[0x10; 40]), "Malformed");
    assert_eq!(shown(1, &ethernet(&[0x8100; 20], 0x0800, &ip)), "Malformed");
}

#[test]
fn first_fragments_and_unsplit_segments_have_ports() {
    assert_eq!(shown(101, &v4(6, 0x2000, &tcp())), V4);
    let first = decode(LinkType(101), &v4(6, 0x2000, &tcp()));
    assert_eq!(first.map(|packet| packet.first_of), Ok(Some(0)));
    let mut unsplit = v4(6, 0, &tcp());
    unsplit[2..4].fill(0);
    assert_eq!(shown(101, &unsplit), V4);
}

#[test]
fn an_icmp_error_has_the_tuple_of_what_it_is_about() {
    let about = v4(17, 0, &udp());
    let error =
        |kind: u8, about: &[u8]| v4(1, 0, &[&[kind, 3, 0, 0, 0, 0, 0, 0][..], about].concat());
    let packet = decode(LinkType(101), &error(3, &about)).expect("an error");
    assert_eq!(packet.tuple.to_string(), "udp 10.0.0.1:4660 > 10.0.0.2:53");
    assert_eq!(packet.direction(), packet.tuple.reversed());
    let reporter = Endpoint::v4([10, 0, 0, 1], 0);
    assert_eq!(packet.origin, Origin::Error { reporter });
    // Neither an echo nor an error about an error.
    assert_eq!(shown(101, &error(8, &about)), "NoTransport");
    assert_eq!(shown(101, &error(3, &error(3, &about))), "NoTransport");
    assert_eq!(shown(101, &error(3, &about[..22])), "Truncated");
    let v6_error = v6(58, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &v6(17, &udp())].concat());
    assert!(shown(101, &v6_error).starts_with("udp"), "{}", shown(101, &v6_error));
}

#[test]
fn padding_after_the_packet_is_not_taken_for_it() {
    let mut short = v4(6, 0, &[]);
    short.extend([0; 26]);
    assert_eq!(shown(101, &short), "Truncated");
}

#[test]
fn extension_headers_are_looked_past() {
    let option = |next: u8| [next, 0, 0, 0, 0, 0, 0, 0];
    let chain = [&option(43)[..], &option(60), &option(17), &udp()].concat();
    assert!(shown(101, &v6(0, &chain)).starts_with("udp"));
    let atomic = [&option(17)[..], &udp()].concat();
    assert!(shown(101, &v6(44, &atomic)).starts_with("udp"));
    let later = [&[17, 0, 0, 8, 0, 0, 1, 0][..], &udp()].concat();
    assert_eq!(shown(101, &v6(44, &later)), "Fragment of 256");
    let first = [&[17, 0, 0, 1, 0, 0, 1, 0][..], &udp()].concat();
    assert_eq!(decode(LinkType(101), &v6(44, &first)).map(|p| p.first_of), Ok(Some(256)));
    let endless = option(0).repeat(40);
    assert_eq!(shown(101, &v6(0, &endless)), "Malformed");
}

#[test]
fn a_cut_packet_keeps_what_was_captured() {
    let ip = v4(6, 0, &tcp());
    for length in 0..ip.len() {
        let decoded = decode(LinkType(101), &ip[..length]);
        match length {
            0..24 => assert_eq!(decoded, Err(Undecoded::Truncated), "{length}"),
            24..34 => assert_eq!(decoded.map(|packet| packet.tcp), Ok(None), "{length}"),
            _ => {
                let tcp = Tcp { flags: Tcp::SYN | Tcp::ACK, seq: 1, ack: 2 };
                assert_eq!(decoded.map(|packet| packet.tcp), Ok(Some(tcp)), "{length}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(
        link in prop::sample::select(vec![0_u16, 1, 12, 14, 101, 108, 113, 228, 229, 276, 127]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let _ = decode(LinkType(link), &bytes);
    }
}
