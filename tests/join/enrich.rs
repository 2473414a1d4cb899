//! What an enriched packet says, and what it leaves alone.

use std::fs;

use schema::annotation::Annotation;

use crate::blocks::{Block, comments, read, stripped};
use crate::scene::{datagrams, pcapng, put, scene};
use crate::tools::{join, tshark};

const FULL_SYN: &str = "ebpf src.pid=4242 src.tid=4243 src.comm=curl src.exe=/usr/bin/curl \
    src.cmdline=curl%20-H%20'X:%20src.pid=1'%20http://10.0.0.2/ src.uid=1000 src.user=ana \
    src.host=web-1 src.proc=1 dst.pid=77 dst.comm=nginx dst.container_id=9f86d081884c7d65 \
    dst.container_name=web dst.pod=default/web-0 dst.host=web-1 dst.proc=2 src.match=exact \
    dst.match=early event=tcp_connect latency_us=310 offset_us=100";

const BRIEF_UP: &str = "ebpf src.pid=4242 src.comm=curl src.proc=1 dst.pid=77 dst.comm=nginx \
    dst.container_name=web dst.pod=default/web-0 dst.proc=2";

#[test]
fn the_first_packet_says_all_and_the_others_refer_to_it() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    let summary = join(folder.path(), "in.pcapng", &[]);
    let file = fs::read(folder.path().join("out.pcapng")).expect("output");
    let comments = comments(&read(&file));
    assert_eq!(comments[0].as_deref(), Some(FULL_SYN));
    let back = comments[1].as_deref().expect("the SYN-ACK is annotated");
    assert!(back.starts_with("ebpf src.pid=77 ") && back.contains("src.match=early"), "{back}");
    let brief = format!("{BRIEF_UP} dst.match=early");
    assert_eq!(comments[2].as_deref(), Some(&brief[..]), "before the accept row");
    assert_eq!(comments[3].as_deref(), Some(BRIEF_UP));
    // Nobody recorded this query's socket: the reasons stand once.
    assert_eq!(comments[6].as_deref(), Some("ebpf src.none=no-socket dst.none=remote"));
    assert_eq!(comments[7], None);
    assert_eq!(summary["packets"], 8);
    assert_eq!(summary["annotated"], 7);
    assert_eq!(summary["source"]["by_match"], serde_json::json!({"exact": 5, "early": 1}));
    assert_eq!(summary["destination"]["by_match"], serde_json::json!({"exact": 4, "early": 2}));
    assert_eq!(summary["source"]["by_reason"], serde_json::json!({"no-socket": 2}));
    assert_eq!(summary["destination"]["by_reason"], serde_json::json!({"remote": 2}));
}

#[test]
fn everything_but_the_annotation_is_as_it_was_in_both_byte_orders() {
    let foreign = [(1, b"a comment of somebody's".to_vec()), (2, vec![0, 0, 0, 1])];
    for big in [false, true] {
        for options in [&foreign[..], &[]] {
            let folder = scene();
            let input = pcapng(big, options);
            put(&folder, "in.pcapng", &input);
            join(folder.path(), "in.pcapng", &[]);
            let output = fs::read(folder.path().join("out.pcapng")).expect("output");
            let blocks = read(&output);
            assert_eq!(comments(&blocks).iter().flatten().count(), 7, "big endian: {big}");
            assert_eq!(stripped(blocks), read(&input), "big endian: {big}");
        }
    }
}

#[test]
fn the_sender_stands_in_the_standard_option_unless_the_packet_has_one() {
    let options = |extra: &[&str], given: &[crate::blocks::Opt]| {
        let folder = scene();
        put(&folder, "in.pcapng", &pcapng(true, given));
        join(folder.path(), "in.pcapng", extra);
        let file = fs::read(folder.path().join("out.pcapng")).expect("output");
        let Some(Block::Packet { options, .. }) = read(&file).into_iter().nth(2) else {
            panic!("the third block is the SYN");
        };
        options.into_iter().filter(|(code, _)| *code == 8).map(|(_, v)| v).collect::<Vec<_>>()
    };
    // 4242 and 4243, big-endian as the section.
    assert_eq!(options(&[], &[]), [[0, 0, 0x10, 0x92, 0, 0, 0x10, 0x93]]);
    assert!(options(&["--no-pid-option"], &[]).is_empty());
    let given = [(8, vec![9; 8])];
    assert_eq!(options(&[], &given), [[9; 8]]);
}

#[test]
fn a_second_run_replaces_the_annotations_of_the_first() {
    let folder = scene();
    let person = b"ebpf probe fires here, see ticket 12".to_vec();
    let foreign = [(1, b"ebpfish, but not ours".to_vec()), (1, person), (8, vec![9; 8])];
    for given in [&foreign[..], &foreign[..2], &[]] {
        put(&folder, "in.pcapng", &pcapng(false, given));
        join(folder.path(), "in.pcapng", &[]);
        let once = fs::read(folder.path().join("out.pcapng")).expect("output");
        put(&folder, "once.pcapng", &once);
        join(folder.path(), "once.pcapng", &[]);
        let twice = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert!(once == twice, "the second run changed something");
        join(folder.path(), "once.pcapng", &["--detail", "none"]);
        let bare = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert_eq!(read(&bare), read(&pcapng(false, given)));
    }
}

#[test]
fn a_capture_without_a_known_packet_is_copied_byte_for_byte() {
    let folder = scene();
    let input = pcapng(true, &[]);
    put(&folder, "in.pcapng", &input);
    join(folder.path(), "in.pcapng", &["--detail", "none"]);
    assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == input);
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let folder = scene();
    let mut input = pcapng(false, &[]);
    // All blocks after section and interface, again and again.
    let first = input.windows(4).position(|w| w == [6, 0, 0, 0]).expect("a packet");
    let tail = input[first..].to_vec();
    for _ in 0..8000 {
        input.extend_from_slice(&tail);
    }
    put(&folder, "in.pcapng", &input);
    let summary = join(folder.path(), "in.pcapng", &["--threads", "1"]);
    assert_eq!(summary["packets"], 8 * 8001);
    let one = fs::read(folder.path().join("out.pcapng")).expect("output");
    for threads in ["2", "5"] {
        join(folder.path(), "in.pcapng", &["--threads", threads]);
        let many = fs::read(folder.path().join("out.pcapng")).expect("output");
        assert!(one == many, "{threads} threads");
    }
}

#[test]
fn tshark_reads_the_same_packets_and_our_comments() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    join(folder.path(), "in.pcapng", &[]);
    let fields = ["frame.time_epoch", "frame.cap_len", "ip.src", "ip.dst", "tcp.srcport"];
    let (input, output) = (folder.path().join("in.pcapng"), folder.path().join("out.pcapng"));
    let Some(before) = tshark(&input, &fields) else { return };
    assert_eq!(before.len(), datagrams().len());
    assert_eq!(tshark(&output, &fields), Some(before));
    let comments = tshark(&output, &["frame.comment"]).expect("tshark ran before");
    assert_eq!(comments[0][0], FULL_SYN);
    let read = Annotation::decode(&comments[0][0]).expect("ours");
    assert_eq!(
        read.src.process.cmdline.as_deref(),
        Some("curl -H 'X: src.pid=1' http://10.0.0.2/")
    );
}

#[test]
fn show_prints_a_line_per_packet_with_both_processes() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    join(folder.path(), "in.pcapng", &[]);
    let output = crate::tools::ebpfjoin(folder.path(), &["show", "out.pcapng"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8);
    assert!(
        lines[0].starts_with("22:13:21.000100 eth0   curl[4242] 10.0.0.1:40000 "),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("> nginx[77]{default/web-0} 10.0.0.2:80"), "{}", lines[0]);
    assert!(lines[7].contains("(no-socket) 10.0.0.1:40000"), "{}", lines[7]);
    let output =
        crate::tools::ebpfjoin(folder.path(), &["show", "out.pcapng", "--json", "-n", "4"]);
    let last = String::from_utf8(output.stdout).expect("text").lines().last().map(str::to_owned);
    let last: serde_json::Value = serde_json::from_str(&last.expect("a line")).expect("JSON");
    // The fourth packet is brief; its program comes from the first one.
    assert_eq!(last["src"]["exe"], "/usr/bin/curl");
    assert_eq!(last["dst"]["match"], "exact");
}

#[test]
fn show_takes_no_comment_of_a_person_for_ours() {
    let folder = scene();
    let comment = |text: &str| (1, text.as_bytes().to_vec());
    let theirs = comment("ebpf probe fires here, see ticket 12");
    for (options, pid) in [
        (&[theirs.clone(), comment("ebpf src.pid=5 dst.none=ambiguous")][..], Some(5)),
        (&[theirs], None),
    ] {
        put(&folder, "in.pcapng", &pcapng(false, options));
        let shown = crate::tools::ebpfjoin(folder.path(), &["show", "in.pcapng", "--json"]).stdout;
        for line in String::from_utf8(shown).expect("text").lines() {
            let packet: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(packet["src"]["pid"].as_u64(), pid, "{packet}");
            let reason = packet["dst"]["none"].as_str();
            assert_eq!(reason, pid.map(|_| "ambiguous"), "{packet}");
        }
    }
}
