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
    assert_eq!(shown(147, &ip), "NotIp");
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

#[test]
fn rarer_links_lead_to_the_same_tuple() {
    let ip = v4(6, 0, &tcp());
    let with = |header: &[u8]| [header, &ip].concat();
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    // 802.3, with its length in place of a type.
    assert_eq!(shown(1, &ethernet(&[], 48, &with(&snap))), V4);
    assert_eq!(shown(1, &ethernet(&[], 48, &with(&[0x42, 0x42, 3, 0, 0, 0, 8, 0]))), "NotIp");
    let mpls = with(&[0, 1, 0, 64, 0, 2, 1, 64]);
    assert_eq!(shown(1, &ethernet(&[0x8100], 0x8847, &mpls)), V4);
    let pseudowire = [&[0, 2, 1, 64, 0, 0, 0, 0][..], &ethernet(&[], 0x0800, &ip)].concat();
    assert_eq!(shown(1, &ethernet(&[], 0x8847, &pseudowire)), V4);
    assert_eq!(shown(1, &ethernet(&[], 0x8847, &[0; 200])), "Malformed");
    let pppoe = with(&[0x11, 0, 0, 9, 0, 42, 0, 0x21]);
    assert_eq!(shown(1, &ethernet(&[], 0x8864, &pppoe)), V4);
    assert_eq!(shown(51, &pppoe), V4);
    for frame in [&[0xff, 3, 0, 0x21][..], &[0, 0x21], &[0x21]] {
        assert_eq!(shown(9, &with(frame)), V4);
        assert_eq!(shown(204, &with(&[&[1], frame].concat())), V4);
    }
    assert_eq!(shown(166, &with(&[1, 3, 0, 0x21])), V4);
    assert_eq!(shown(104, &with(&[0x0f, 0, 8, 0])), V4);
    // 802.11: a data frame; the same with QoS, with four addresses, and behind radiotap.
    let wifi = |kind: u8, flags: u8, more: usize| {
        [&[kind, flags][..], &vec![0; 22 + more], &snap, &ip].concat()
    };
    assert_eq!(shown(105, &wifi(0x08, 1, 0)), V4);
    assert_eq!(shown(105, &wifi(0x88, 1, 2)), V4);
    assert_eq!(shown(105, &wifi(0x88, 3, 8)), V4);
    assert_eq!(shown(105, &wifi(0x08, 0x41, 0)), "NotIp", "encrypted");
    assert_eq!(shown(105, &wifi(0x48, 1, 0)), "NotIp", "without data");
    assert_eq!(shown(127, &[&[0, 0, 10, 0, 0, 0, 0, 0, 0, 0][..], &wifi(0x08, 1, 0)].concat()), V4);
    let length = u16::try_from(4 + ip.len()).expect("short");
    let head = |bytes: fn(u16) -> [u8; 2]| {
        [&[2, 0, 0, 0][..], &bytes(5), &bytes(1), &[7, 0, 0, 0], &bytes(length), &bytes(9)].concat()
    };
    assert_eq!(shown(239, &with(&head(u16::to_le_bytes))), V4);
    assert_eq!(shown(239, &with(&head(u16::to_be_bytes))), V4);
}

/// A datagram from 10.0.0.1:4660 to 10.0.0.2, `port`.
fn to(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short");
    let [high, low] = port.to_be_bytes();
    let [l0, l1] = length.to_be_bytes();
    v4(17, 0, &[&[0x12, 0x34, high, low, l0, l1, 0, 0][..], payload].concat())
}

#[test]
fn the_innermost_packet_of_a_tunnel_counts() {
    let ip = v4(6, 0, &tcp());
    let frame = ethernet(&[0x8100], 0x0800, &ip);
    let with = |header: &[u8], inner: &[u8]| [header, inner].concat();
    let gre = |header: &[u8], inner: &[u8]| shown(101, &v4(47, 0, &with(header, inner)));
    assert_eq!(shown(101, &v4(4, 0, &ip)), V4);
    assert_eq!(shown(101, &v6(4, &v4(4, 0, &ip))), V4);
    assert!(shown(101, &v4(41, 0, &v6(17, &udp()))).starts_with("udp [fdfd"));
    assert_eq!(shown(101, &v4(137, 0, &with(&[0, 2, 1, 64], &ip))), V4);
    assert_eq!(gre(&[0, 0, 8, 0], &ip), V4);
    let all = [0xb0, 0, 0x65, 0x58, 1, 1, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3];
    assert_eq!(gre(&all, &frame), V4);
    assert_eq!(gre(&[0, 0, 0x88, 0xbe], &frame), V4, "ERSPAN I");
    let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(gre(&erspan, &frame), V4, "ERSPAN II");
    let pptp = [0x30, 0x81, 0x88, 0x0b, 0, 42, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    assert_eq!(gre(&pptp, &ip), V4);
    assert_eq!(gre(&[0, 2, 8, 0], &ip), "NotIp", "of no known version");
    assert_eq!(shown(101, &to(4789, &with(&[8, 0, 0, 0, 0, 0, 7, 0], &frame))), V4);
    assert_eq!(
        shown(101, &to(6081, &with(&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 9, 9, 9, 9], &frame))),
        V4
    );
    assert_eq!(shown(101, &to(2152, &with(&[0x30, 0xff, 0, 40, 0, 0, 0, 1], &ip))), V4);
    let extended = [0x34, 0xff, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0];
    assert_eq!(shown(101, &to(2152, &with(&extended, &ip))), V4);
}

#[test]
fn what_is_around_a_packet_is_known_as_well() {
    let vxlan = |inner: &[u8]| to(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], inner].concat());
    let inner = ethernet(&[], 0x0800, &v4(6, 0, &tcp()));
    let twice = vxlan(&ethernet(&[], 0x0800, &vxlan(&inner)));
    let at = |around| {
        decode_within(LinkType(101), &twice, around).map(|p| (p.tuple.dst.port(), p.around))
    };
    assert_eq!([0, 1, 2, 3].map(at), [Ok((4789, 0)), Ok((4789, 1)), Ok((80, 2)), Ok((80, 2))]);
    // Something else than a tunnel on its port, or a packet without ports in it.
    let tunnel = "udp 10.0.0.1:4660 > 10.0.0.2:4789";
    assert_eq!(shown(101, &to(4789, b"anything else")), tunnel);
    assert_eq!(shown(101, &vxlan(&ethernet(&[], 0x0806, &[0; 28]))), tunnel);
    assert_eq!(shown(101, &vxlan(&inner[..20])), tunnel);
    // A fragment's ports are in the first one, wherever that is.
    let later = ethernet(&[], 0x0800, &v4(17, 1, &udp()));
    assert_eq!(shown(101, &vxlan(&later)), "Fragment of 0");
    let deep = (0..40).fold(v4(6, 0, &tcp()), |inner, _| v4(4, 0, &inner));
    assert_eq!(shown(101, &deep), "Malformed");
}

#[test]
fn other_transports_have_ports() {
    assert_eq!(shown(101, &v4(132, 0, &udp())), "sctp 10.0.0.1:4660 > 10.0.0.2:53");
    assert!(shown(101, &v4(136, 0, &udp())).ends_with("10.0.0.1:4660 > 10.0.0.2:53"));
    let authenticated = [&[6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &tcp()].concat();
    assert_eq!(shown(101, &v4(51, 0, &authenticated)), V4);
}

/// Packets of every kind, to be damaged.
fn kinds() -> Vec<Vec<u8>> {
    let ip = v4(6, 0, &tcp());
    let frame = ethernet(&[0x8100], 0x0800, &ip);
    let vxlan = to(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &frame[..]].concat());
    let gtp =
        to(2152, &[&[0x34, 0xff, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0], &ip[..]].concat());
    let options = [&[43, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0][..], &udp()].concat();
    vec![
        ip.clone(),
        v6(0, &options),
        v6(44, &[&[17, 0, 0, 1, 0, 0, 1, 0][..], &udp()].concat()),
        v4(1, 0, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &ip].concat()),
        v4(4, 0, &v4(41, 0, &v6(17, &udp()))),
        v4(
            47,
            0,
            &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &frame[..]].concat(),
        ),
        vxlan.clone(),
        to(6081, &[&[0, 0, 8, 0, 0, 0, 7, 0], &vxlan[..]].concat()),
        gtp,
    ]
}

proptest! {
    #[test]
    fn what_is_left_of_a_damaged_packet_says_nothing_that_the_whole_does_not(
        kind in prop::sample::select(kinds()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = kind;
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let link = LinkType(101);
        let whole = decode(link, &bytes);
        let around = whole.map_or(0, |packet| packet.around);
        let layers: Vec<_> = (0..=around).map(|n| decode_within(link, &bytes, n)).collect();
        if whole.is_ok() {
            prop_assert_eq!(layers.last(), Some(&whole));
        }
        for length in 0..bytes.len() {
            match (decode(link, &bytes[..length]), whole) {
                (Ok(cut), Ok(_)) => {
                    let is_layer = layers.iter().flatten().any(|layer| layer.tuple == cut.tuple);
                    prop_assert!(is_layer, "{} of {:?}", cut.tuple, layers);
                }
                (Err(undecoded), Ok(_)) => prop_assert_eq!(undecoded, Undecoded::Truncated),
                (_, Err(_)) => {}
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        link in prop::sample::select(vec![
            0_u16, 1, 9, 12, 14, 51, 101, 104, 105, 108, 109, 113, 127, 166, 192, 204, 228, 229, 239,
            258, 276,
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(LinkType(link), &bytes);
    }

    #[test]
    fn any_bytes_in_a_tunnel_are_decoded_or_refused(
        proto in prop::sample::select(vec![4_u8, 41, 47, 51, 137]),
        port in prop::sample::select(vec![4789_u16, 6081, 2152]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(LinkType(101), &v4(proto, 0, &bytes));
        let _ = decode(LinkType(101), &to(port, &bytes));
    }
}
