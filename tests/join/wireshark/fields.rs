//! The plugin's fields: what they hold, in one pass and in two, and what filters on them show.

use schema::annotation::Process;

use super::{commented, frames, joined, rows, tshark};

#[test]
fn every_key_of_an_annotation_has_its_field() {
    let mut comment = "ebpf".to_owned();
    let mut fields = vec![];
    for side in ["src", "src.via", "dst", "dst.via"] {
        for (n, key) in Process::KEYS.iter().chain(&["match"]).enumerate() {
            comment.push_str(&format!(" {side}.{key}={n}"));
            fields.push((format!("ebpf.{side}.{key}"), n.to_string()));
        }
    }
    for (n, key) in
        ["event", "latency_us", "retransmits", "nat", "offset_us"].into_iter().enumerate()
    {
        comment.push_str(&format!(" {key}={n}"));
        fields.push((format!("ebpf.{key}"), n.to_string()));
    }
    let folder = commented(&[Some(&comment)]);
    let names: Vec<&str> = fields.iter().map(|(name, _)| &name[..]).collect();
    let Some(rows) = rows(folder.path(), &names, &[]) else { return };
    let expected: Vec<&str> = fields.iter().map(|(_, value)| &value[..]).collect();
    assert_eq!(rows, [expected]);
}

#[test]
fn a_side_without_a_name_has_its_reason_and_what_is_left_out_is_assumed() {
    let folder = commented(&[
        Some("ebpf src.pid=1 src.comm=a dst.none=no-socket"),
        Some("ebpf dst.pid=1 dst.comm=a dst.match=nat+late"),
        Some("a comment of somebody's"),
        None,
        Some("ebpf probe fires here, see ticket 12"),
        Some("ebpf probe=1"),
    ]);
    let fields = ["ebpf.src.match", "ebpf.src.none", "ebpf.dst.match", "ebpf.dst.none", "ebpf.how"];
    let Some(rows) = rows(folder.path(), &fields, &[]) else { return };
    assert_eq!(rows[0], ["exact", "", "", "no-socket", "exact,no-socket"]);
    assert_eq!(rows[1], ["", "remote", "nat+late", "", "remote,nat+late"]);
    for row in &rows[2..] {
        assert_eq!(*row, [""; 5]);
    }
}

#[test]
fn brief_packets_are_filled_from_full_ones_in_one_pass_and_in_two() {
    let folder = joined();
    let fields = ["frame.comment", "ebpf.src.exe", "ebpf.src.user", "ebpf.dst.container_id"];
    for passes in [&[][..], &["-2"]] {
        let Some(rows) = rows(folder.path(), &fields, passes) else { return };
        // The fourth packet is brief: its comment has none of these.
        assert!(!rows[3][0].contains("exe=") && !rows[3][0].contains("container_id="), "{rows:?}");
        assert_eq!(rows[3][1..], ["/usr/bin/curl", "ana", "9f86d081884c7d65"], "{passes:?}");
        // The thread is the SYN's, not the process's.
        assert!(rows[0][0].contains("src.tid=4243"), "{rows:?}");
    }
    let Some(threads) = rows(folder.path(), &["ebpf.src.tid"], &[]) else { return };
    assert_eq!((&threads[0][0][..], &threads[3][0][..]), ("4243", ""));
}

#[test]
fn a_process_number_alone_fills_nothing() {
    let folder = commented(&[
        Some("ebpf src.pid=5 src.comm=sh src.exe=/bin/sh src.host=h src.proc=1 event=tcp_connect"),
        // The same process, another program.
        Some("ebpf src.pid=5 src.comm=nc src.exe=/bin/nc src.host=h src.proc=1 event=tcp_accept"),
        Some("ebpf src.pid=5 src.comm=sh src.proc=1"),
        Some("ebpf src.pid=5 src.comm=nc src.proc=1"),
        // Of another file, after a merge.
        Some("ebpf src.pid=6 src.comm=sh src.proc=1"),
    ]);
    let Some(rows) = rows(folder.path(), &["ebpf.src.exe"], &[]) else { return };
    assert_eq!(rows, [["/bin/sh"], ["/bin/nc"], ["/bin/sh"], ["/bin/nc"], [""]]);
}

#[test]
fn the_reasons_of_a_flow_stand_for_its_other_packets_until_it_has_a_name() {
    let unnamed = "ebpf src.none=no-socket dst.none=ambiguous";
    let named = "ebpf src.pid=5 src.comm=sh dst.none=remote src.match=exact event=tcp_connect";
    // The client's packets are the even ones; the server's have no reason.
    let client = [Some(unnamed), None, Some(named), None];
    let comments: Vec<_> = client.into_iter().flat_map(|comment| [comment, None]).collect();
    let folder = commented(&comments);
    for passes in [&[][..], &["-2"]] {
        let Some(rows) = rows(folder.path(), &["ebpf.how"], passes) else { return };
        let how: Vec<&str> = rows.iter().map(|row| &row[0][..]).collect();
        let reasons = "no-socket,ambiguous";
        assert_eq!(how, [reasons, "", reasons, "", "exact,remote", "", "", ""], "{passes:?}");
    }
}

#[test]
fn values_are_what_they_were_before_they_were_escaped() {
    let folder = commented(&[Some("ebpf src.pid=1 src.comm=a%20b%25%3D%22 src.cmdline=%E2%82%AC")]);
    let fields = ["ebpf.src.comm", "ebpf.src.cmdline"];
    let Some(rows) = rows(folder.path(), &fields, &[]) else { return };
    assert_eq!(rows, [["a b%=\"", "€"]]);
}

#[test]
fn filters_find_either_end() {
    let folder = joined();
    for (filter, expected) in [
        ("ebpf.src.comm == \"curl\"", &[1, 3, 4, 6][..]),
        ("ebpf.comm == \"curl\"", &[1, 2, 3, 4, 5, 6]),
        ("ebpf.pid == 77", &[1, 2, 3, 4, 5, 6]),
        ("ebpf.dst.pid == 77", &[1, 3, 4, 6]),
        ("ebpf.pid > 4000 && ebpf.src.pid < 100", &[2, 5]),
        ("ebpf.container_name == \"web\"", &[1, 2, 3, 4, 5, 6]),
        ("ebpf.pod == \"default/web-0\" && ebpf.user == \"ana\"", &[1, 2, 3, 4, 5, 6]),
        ("ebpf.match == \"early\"", &[1, 2, 3]),
        ("ebpf.none == \"no-socket\"", &[7, 8]),
        ("!ebpf.match", &[7, 8]),
        ("ebpf.event == \"tcp_connect\"", &[1]),
        ("ebpf.event_type == \"TCP_Connect\"", &[1]),
        ("ebpf.event_type == 100", &[2]),
        ("ebpf.who == \"nginx[77]\" && ebpf.place == \"default/web-0\"", &[1, 2, 3, 4, 5, 6]),
        ("ebpf.host == \"web-2\"", &[]),
    ] {
        let Some(found) = frames(folder.path(), filter) else { return };
        assert_eq!(found, expected, "{filter}");
    }
}

#[test]
fn who_is_behind_a_proxy_is_found_by_fields_of_its_own() {
    let folder = commented(&[Some(
        "ebpf src.none=remote dst.pid=9 dst.comm=docker-proxy dst.via.pid=77 dst.via.comm=nginx \
         dst.via.container_name=web dst.via.match=proxy dst.match=exact event=tcp_accept",
    )]);
    for (filter, is_shown) in [
        ("ebpf.via.comm == \"nginx\"", true),
        ("ebpf.via.container_name == \"web\"", true),
        ("ebpf.dst.via.pid == 77", true),
        ("ebpf.comm == \"docker-proxy\"", true),
        // It is not at this end.
        ("ebpf.comm == \"nginx\"", false),
        ("ebpf.dst.who == \"docker-proxy[9] for nginx[77]\"", true),
        ("ebpf.how == \"remote,exact+proxy\"", true),
    ] {
        let Some(found) = frames(folder.path(), filter) else { return };
        assert_eq!(!found.is_empty(), is_shown, "{filter}");
    }
}

#[test]
fn a_brief_comment_refers_to_who_is_behind_a_proxy_by_number() {
    let full = "ebpf src.pid=9 src.comm=proxy src.proc=4 src.via.pid=17 src.via.comm=curl \
                src.via.exe=/usr/bin/curl src.via.proc=5 src.via.match=proxy event=tcp_connect";
    let brief = "ebpf src.pid=9 src.comm=proxy src.proc=4 src.via.proc=5";
    // Of another file, after a merge: now 5 may be either.
    let other = "ebpf src.pid=6 src.comm=sh src.proc=5 event=tcp_connect";
    let folder = commented(&[Some(full), Some(brief), Some(other), Some(brief)]);
    let fields = ["ebpf.src.who", "ebpf.via.exe", "ebpf.via.match"];
    let Some(rows) = rows(folder.path(), &fields, &[]) else { return };
    assert_eq!(rows[0], ["proxy[9] for curl[17]", "/usr/bin/curl", "proxy"]);
    assert_eq!(rows[1], rows[0]);
    assert_eq!(rows[3], ["proxy[9] for (unknown)", "", "proxy"]);
}

#[test]
fn the_ancestors_names_of_events_are_shown() {
    let kinds = [
        ("tcp_connect", "TCP_Connect (101)"),
        ("tcp_established", "TCP_Connect (101)"),
        ("tcp_accept", "TCP_Accept (100)"),
        ("tcp_close", "TCP_Close (300)"),
        ("tcp_retransmit", "TCP_Retransmit (200)"),
        ("udp_send", "UDP_Send (211)"),
        ("udp_recv", "UDP_Recv (210)"),
        ("tcp_connect_fail", "TCP_Connect_Failed (500)"),
    ];
    let comments = kinds.map(|(kind, _)| format!("ebpf src.pid=1 src.comm=a event={kind}"));
    let comments: Vec<_> = comments.iter().map(|comment| Some(&comment[..])).collect();
    let folder = commented(&comments);
    let Some(text) = tshark(folder.path(), &["-V"]) else { return };
    for (kind, name) in kinds {
        assert!(text.contains(&format!("[Event: {kind}]")), "{kind}");
        assert!(text.contains(&format!("[Event in libebpfflow: {name}]")), "{text}");
    }
}

#[test]
fn traffic_is_counted_by_process() {
    let folder = joined();
    let filters = "io,stat,0,COUNT(frame)frame && ebpf.src.comm==\"curl\",\
                   COUNT(frame)frame && ebpf.src.comm==\"nginx\"";
    let Some(text) = tshark(folder.path(), &["-q", "-z", filters]) else { return };
    let row = text.lines().find(|line| line.contains("<>")).expect("a row of counts");
    let counts: Vec<&str> = row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(counts[1..], ["4", "2"], "{text}");
}
