//! A packet for every link type and every layer that the joiner looks through, built here byte by
//! byte: what tshark says of each is what the joiner must say.

/// A captured packet.
pub(crate) struct Frame {
    /// What is special about it.
    pub(crate) name: &'static str,
    /// Its link type.
    pub(crate) link: u16,
    pub(crate) bytes: Vec<u8>,
    /// The ports in it, outermost first.
    pub(crate) ports: Vec<(u16, u16)>,
    /// Why tshark sees something else, if it does.
    pub(crate) exception: Option<&'static str>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Ports of the innermost packet.
const PORTS: (u16, u16) = (4660, 80);
/// Source port of a tunnel over UDP.
const TUNNEL: u16 = 50_000;

fn tcp() -> Vec<u8> {
    let mut segment = [PORTS.0.to_be_bytes(), PORTS.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 1, 0, 0, 0, 0, 0]);
    segment
}

fn udp(src: u16, dst: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("short");
    let head = [src, dst, length, 0].map(u16::to_be_bytes).concat();
    [&head, data].concat()
}

fn sctp() -> Vec<u8> {
    // One cookie-ack chunk.
    let head = [PORTS.0.to_be_bytes(), PORTS.1.to_be_bytes()].concat();
    [&head[..], &[0, 0, 0, 1, 0, 0, 0, 0, 11, 0, 0, 4]].concat()
}

/// IPv4 with `options`, identification 7 and the fragment field `fragment`.
fn v4_with(proto: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).expect("short");
    let total = u16::try_from(usize::from(words) * 4 + payload.len()).expect("short");
    let mut packet = vec![0x40 | words, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn v4(proto: u8, payload: &[u8]) -> Vec<u8> {
    v4_with(proto, &[], 0, payload)
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
    packet.extend([next, 64]);
    for last in [1, 2] {
        packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    // Of a manufacturer that is known: tshark guesses by these what is in a pseudowire.
    let mut frame = vec![0, 0x1b, 0x21, 0xaa, 0xbb, 1, 0, 0x1b, 0x21, 0xaa, 0xbb, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

fn with(header: &[u8], packet: &[u8]) -> Vec<u8> {
    [header, packet].concat()
}

/// A packet for each of them.
pub(crate) fn frames() -> Vec<Frame> {
    let mut all = links();
    all.extend(wireless());
    all.extend(internet());
    all.extend(tunnels());
    all.extend(over_udp());
    all.extend(errors());
    all
}

fn frame(name: &'static str, link: u16, bytes: Vec<u8>) -> Frame {
    Frame { name, link, bytes, ports: vec![PORTS], exception: None }
}

fn links() -> Vec<Frame> {
    let (ip, ip6) = (v4(TCP, &tcp()), v6(TCP, &tcp()));
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let mpls = with(&[0, 1, 0, 64, 0, 2, 1, 64], &ip);
    let length = u16::try_from(snap.len() + ip.len()).expect("short");
    let ppp_length = u16::try_from(2 + ip.len()).expect("short").to_be_bytes();
    let pppoe = with(&[0x11, 0, 0, 9, ppp_length[0], ppp_length[1], 0, 0x21], &ip);
    let pseudowire = with(&[0, 2, 1, 64, 0, 0, 0, 0], &ethernet(&[], 0x0800, &ip));
    let sll = |ethertype: [u8; 2]| {
        with(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ethertype].concat(), &[])
    };
    let sll2 = |ethertype: [u8; 2]| {
        let rest = [0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        with(&ethertype, &rest)
    };
    let mut all = vec![
        frame("Ethernet, IPv4", 1, ethernet(&[], 0x0800, &ip)),
        frame("Ethernet, IPv6", 1, ethernet(&[], 0x86dd, &ip6)),
        frame("Ethernet, padded", 1, with(&ethernet(&[], 0x0800, &ip), &[0; 6])),
        frame("802.1Q", 1, ethernet(&[0x8100], 0x0800, &ip)),
        frame("QinQ", 1, ethernet(&[0x88a8, 0x8100], 0x86dd, &ip6)),
        frame("QinQ before 802.1ad", 1, ethernet(&[0x9100, 0x8100], 0x0800, &ip)),
        frame("802.3 with SNAP", 1, ethernet(&[], length, &with(&snap, &ip))),
        frame("MPLS", 1, ethernet(&[], 0x8847, &mpls)),
        frame("MPLS multicast, tagged", 1, ethernet(&[0x8100], 0x8848, &mpls)),
        frame("MPLS pseudowire", 1, ethernet(&[], 0x8847, &pseudowire)),
        frame("PPPoE", 1, ethernet(&[], 0x8864, &pppoe)),
        frame("Linux cooked, IPv4", 113, with(&sll([8, 0]), &ip)),
        frame("Linux cooked, IPv6", 113, with(&sll([0x86, 0xdd]), &ip6)),
        frame("Linux cooked v2, IPv4", 276, with(&sll2([8, 0]), &ip)),
        frame("Linux cooked v2, IPv6", 276, with(&sll2([0x86, 0xdd]), &ip6)),
        frame("Linux cooked v2, tagged", 276, with(&sll2([0x81, 0]), &with(&[0, 7, 8, 0], &ip))),
        frame("PPP", 9, with(&[0xff, 3, 0, 0x21], &ip)),
        frame("PPP without address", 9, with(&[0, 0x21], &ip)),
        frame("PPP, IPv6", 9, with(&[0xff, 3, 0, 0x57], &ip6)),
        frame("PPP, MPLS", 9, with(&[0xff, 3, 0x02, 0x81], &mpls)),
        frame("PPP in HDLC", 50, with(&[0xff, 3, 0, 0x21], &ip)),
        frame("PPPoE session", 51, pppoe),
        frame("PPP with direction", 204, with(&[1, 0xff, 3, 0, 0x21], &ip)),
        Frame {
            exception: Some("it takes the direction to stand before the address, not in its place"),
            ..frame("PPP of pppd", 166, with(&[1, 3, 0, 0x21], &ip))
        },
        frame("Cisco HDLC", 104, with(&[0x0f, 0, 8, 0], &ip)),
    ];
    for raw in [12, 14, 101, 228] {
        all.push(frame("raw IPv4", raw, ip.clone()));
    }
    for raw in [12, 14, 101, 229] {
        all.push(frame("raw IPv6", raw, ip6.clone()));
    }
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        all.push(frame("BSD loopback, IPv4", 0, with(&family, &ip)));
    }
    for family in [24, 28, 30] {
        all.push(frame("BSD loopback, IPv6", 0, with(&[family, 0, 0, 0], &ip6)));
        all.push(frame("BSD loopback, IPv6", 0, with(&[0, 0, 0, family], &ip6)));
        all.push(frame("OpenBSD loopback, IPv6", 108, with(&[0, 0, 0, family], &ip6)));
    }
    for (family, packet) in [(2, &ip), (24, &ip6)] {
        let about = [0, 0, 0, 7, 0, 0, 0, 0];
        all.push(frame("OpenBSD IPsec", 109, [&[0, 0, 0, family][..], &about, packet].concat()));
        all.push(frame("BSD IPsec", 109, [&[family, 0, 0, 0][..], &about, packet].concat()));
    }
    let ethernet_frame = ethernet(&[], 0x0800, &ip);
    all.push(frame("PPI", 192, with(&[0, 0, 8, 0, 1, 0, 0, 0], &ethernet_frame)));
    all.push(frame("PPI, raw", 192, with(&[0, 0, 12, 0, 101, 0, 0, 0, 9, 9, 0, 0], &ip)));
    let pktap = |link: u8| {
        let head = [[108, 0, 0, 0], [1, 0, 0, 0], [link, 0, 0, 0], *b"en0\0"].concat();
        with(&head, &[0; 92])
    };
    all.push(frame("pktap", 258, with(&pktap(1), &ethernet_frame)));
    all.push(frame("pktap, loopback", 258, with(&with(&pktap(0), &[2, 0, 0, 0]), &ip)));
    all.push(frame("OpenBSD loopback, IPv4", 108, with(&[0, 0, 0, 2], &ip)));
    let length = u16::try_from(4 + ip.len()).expect("short");
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let head = [&[2, 0, 0, 0][..], &bytes(8), &bytes(1), &[8, 0, 1, 0], &bytes(length)];
        let exception = (bytes(1) == [0, 1])
            .then_some("it reads numbers in the order of the machine that it runs on");
        let nflog = frame("NFLOG", 239, with(&[&head.concat()[..], &bytes(9)].concat(), &ip));
        all.push(Frame { exception, ..nflog });
    }
    all
}

fn wireless() -> Vec<Frame> {
    let ip = v4(TCP, &tcp());
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    // Frame control, duration, three addresses and sequence, and what else the kind has.
    let wifi = |kind: u8, flags: u8, more: &[u8]| {
        let addresses = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]].concat();
        [&[kind, flags, 0, 0][..], &addresses, &[0x10, 0], more, &snap, &ip].concat()
    };
    let address = [2, 0, 0, 0, 0, 4];
    let radiotap = [0, 0, 8, 0, 0, 0, 0, 0];
    let length = u8::try_from(snap.len() + ip.len()).expect("short");
    let subframe = [&address[..], &address, &[0, length]].concat();
    vec![
        frame("802.11 to the network", 105, wifi(0x08, 1, &[])),
        frame("802.11 from the network", 105, wifi(0x08, 2, &[])),
        frame("802.11 with QoS", 105, wifi(0x88, 1, &[0, 0])),
        frame("802.11 between access points", 105, wifi(0x88, 3, &with(&address, &[0, 0]))),
        frame("802.11 aggregated", 105, wifi(0x88, 2, &with(&[0x80, 0], &subframe))),
        frame("radiotap", 127, with(&radiotap, &wifi(0x08, 1, &[]))),
    ]
}

fn internet() -> Vec<Frame> {
    let option = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| [next, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [TCP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let chain = [&option(43)[..], &routing(60), &option(TCP), &tcp()].concat();
    let fragment = |more: u8| with(&[TCP, 0, 0, more, 0, 0, 0, 9], &tcp());
    let mobility = with(&[TCP, 0, 0, 0, 0, 0, 0, 0], &tcp());
    let mut without_length = v4(TCP, &tcp());
    without_length[2..4].fill(0);
    let dns = udp(PORTS.0, PORTS.1, &[1, 2, 3]);
    vec![
        frame("IPv4 with options", 101, v4_with(TCP, &[1, 1, 1, 0], 0, &tcp())),
        frame("IPv4, first fragment", 101, v4_with(TCP, &[], 0x2000, &tcp())),
        frame("IPv4 of a card that splits segments", 101, without_length),
        frame("IPv4 with authentication", 101, v4(51, &with(&authentication, &tcp()))),
        frame("IPv6 with options and routing", 101, v6(0, &chain)),
        frame("IPv6, atomic fragment", 101, v6(44, &fragment(0))),
        frame("IPv6, first fragment", 101, v6(44, &fragment(1))),
        frame("IPv6 with authentication", 101, v6(51, &with(&authentication, &tcp()))),
        Frame {
            exception: Some(
                "it looks for nothing behind this header; what is there is not defined",
            ),
            ..frame("IPv6 with mobility", 101, v6(135, &mobility))
        },
        Frame {
            exception: Some(
                "it looks for nothing behind this header; what is there is not defined",
            ),
            ..frame("IPv6 with host identity", 101, v6(139, &mobility))
        },
        frame("IPv6 with shim", 101, v6(140, &mobility)),
        frame("UDP", 101, v4(UDP, &dns)),
        frame("UDP in IPv6", 101, v6(UDP, &dns)),
        frame("UDP-Lite", 101, v4(136, &dns)),
        frame("SCTP", 101, v4(132, &sctp())),
        Frame { ports: vec![], ..frame("IPv4, last fragment", 101, v4_with(TCP, &[], 3, &tcp())) },
        Frame { ports: vec![], ..frame("IPv4, no next header", 101, v4(59, &tcp())) },
        Frame { ports: vec![], ..frame("ICMP echo", 101, v4(1, &[8, 0, 0, 0, 0, 1, 0, 1])) },
        Frame { ports: vec![], ..frame("ARP", 1, ethernet(&[], 0x0806, &[0; 28])) },
    ]
}

fn tunnels() -> Vec<Frame> {
    let (ip, ip6) = (v4(TCP, &tcp()), v6(TCP, &tcp()));
    let inner = ethernet(&[], 0x0800, &ip);
    let gre = |header: &[u8], inner: &[u8]| v4(47, &with(header, inner));
    let all = [0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3];
    let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 0];
    let length = u8::try_from(4 + ip.len()).expect("short");
    let pptp = [0x30, 0x81, 0x88, 0x0b, 0, length, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    vec![
        frame("IPv4 in IPv4", 101, v4(4, &ip)),
        frame("IPv4 in IPv6", 101, v6(4, &ip)),
        frame("IPv6 in IPv4", 101, v4(41, &ip6)),
        frame("IPv6 in IPv6", 101, v6(41, &ip6)),
        frame("three deep", 101, v4(4, &v4(41, &v6(4, &ip)))),
        frame("MPLS in IPv4", 101, v4(137, &with(&[0, 2, 1, 64], &ip))),
        frame("GRE", 101, gre(&[0, 0, 8, 0], &ip)),
        frame("GRE, IPv6", 101, gre(&[0, 0, 0x86, 0xdd], &ip6)),
        frame("GRE in IPv6", 101, v6(47, &with(&[0, 0, 8, 0], &ip))),
        frame("GRE with a key", 101, gre(&[0x20, 0, 8, 0, 0, 0, 0, 7], &ip)),
        frame("GRE with a sequence", 101, gre(&[0x10, 0, 8, 0, 0, 0, 0, 7], &ip)),
        frame("GRE with all of it, Ethernet", 101, gre(&all, &inner)),
        frame("GRE, MPLS", 101, gre(&[0, 0, 0x88, 0x47], &with(&[0, 2, 1, 64], &ip))),
        frame("GRE of PPTP", 101, gre(&pptp, &ip)),
        frame("ERSPAN I", 101, gre(&[0, 0, 0x88, 0xbe], &inner)),
        frame("ERSPAN II", 101, gre(&erspan, &inner)),
    ]
}

fn over_udp() -> Vec<Frame> {
    let ip = v4(TCP, &tcp());
    let inner = ethernet(&[0x8100], 0x0800, &ip);
    let tunnel = |name: &'static str, port: u16, header: &[u8], inner: &[u8]| Frame {
        name,
        link: 101,
        bytes: v4(UDP, &udp(TUNNEL, port, &with(header, inner))),
        ports: vec![(TUNNEL, port), PORTS],
        exception: None,
    };
    let vxlan = |inner: &[u8]| {
        let data = with(&[8, 0, 0, 0, 0, 0, 7, 0], inner);
        v4(UDP, &udp(TUNNEL, 4789, &data))
    };
    let twice = vxlan(&ethernet(&[], 0x0800, &vxlan(&inner)));
    let gtp_length = u8::try_from(ip.len()).expect("short");
    let extension = [0, 0, 0, 0x85, 1, 0, 9, 0];
    vec![
        tunnel("VXLAN", 4789, &[8, 0, 0, 0, 0, 0, 7, 0], &inner),
        tunnel("Geneve", 6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0], &inner),
        tunnel(
            "Geneve with an option",
            6081,
            &[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 1, 9, 9, 9, 9],
            &inner,
        ),
        tunnel("Geneve, IPv4", 6081, &[0, 0, 8, 0, 0, 0, 7, 0], &ip),
        tunnel("GTP-U", 2152, &[0x30, 0xff, 0, gtp_length, 0, 0, 0, 1], &ip),
        tunnel(
            "GTP-U with an extension",
            2152,
            &with(&[0x34, 0xff, 0, gtp_length + 8, 0, 0, 0, 1], &extension),
            &ip,
        ),
        Frame {
            ports: vec![(TUNNEL, 4789), (TUNNEL, 4789), PORTS],
            ..frame("VXLAN in VXLAN", 101, twice)
        },
        Frame {
            ports: vec![(TUNNEL, 51_820)],
            ..frame("WireGuard", 101, v4(UDP, &udp(TUNNEL, 51_820, &[4, 0, 0, 0, 9, 9, 9, 9])))
        },
    ]
}

fn errors() -> Vec<Frame> {
    let about = |packet: &[u8], kind: u8, code: u8| with(&[kind, code, 0, 0, 0, 0, 0, 0], packet);
    let (ip, ip6) = (v4(TCP, &tcp()), v6(TCP, &tcp()));
    vec![
        frame("ICMP, unreachable", 101, v4(1, &about(&ip, 3, 3))),
        frame("ICMP, unreachable, eight bytes", 101, v4(1, &about(&ip[..28], 3, 3))),
        frame("ICMP, time exceeded", 101, v4(1, &about(&ip, 11, 0))),
        frame("ICMP, redirect", 101, v4(1, &about(&ip, 5, 1))),
        frame("ICMPv6, unreachable", 101, v6(58, &about(&ip6, 1, 4))),
        frame("ICMPv6, packet too big", 101, v6(58, &about(&ip6, 2, 0))),
        frame("ICMPv6, time exceeded", 101, v6(58, &about(&ip6, 3, 0))),
    ]
}

/// All of them as one pcapng file, with an interface for each link type.
pub(crate) fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    header.extend([1, 0, 0, 0]);
    header.extend([0xff; 8]);
    let mut file = block(0x0a0d_0d0a, &header);
    let mut links: Vec<_> = frames.iter().map(|frame| frame.link).collect();
    links.sort_unstable();
    links.dedup();
    for link in &links {
        file.extend(block(1, &[&link.to_le_bytes()[..], &[0; 6]].concat()));
    }
    for (n, Frame { link, bytes, .. }) in (0..).zip(frames) {
        let interface = links.binary_search(link).expect("one for each");
        let length = u32::try_from(bytes.len()).expect("short");
        let words = [u32::try_from(interface).expect("few"), 0x0006_0000, n, length, length];
        let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}
