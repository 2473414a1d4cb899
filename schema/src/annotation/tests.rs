use proptest::prelude::*;

use super::*;

fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value))
}

fn encoded(annotation: &Annotation<'_>) -> String {
    let mut out = String::new();
    annotation.encode(&mut out);
    out
}

#[test]
fn the_full_form_is_one_line_of_keys() {
    let annotation = Annotation {
        src: Side {
            process: Process {
                pid: Some(4242),
                comm: text("curl"),
                exe: text("/usr/bin/curl"),
                cmdline: text("curl -H 'X: 1'"),
                proc: Some(3),
                ..Process::default()
            },
            found: Some(Match::direct(Rule::Early)),
            ..Side::default()
        },
        dst: Side {
            process: Process { pid: Some(77), comm: text("nginx"), ..Process::default() },
            via: Some(Box::new(Via {
                process: Process { container_name: text("web"), ..Process::default() },
                found: None,
                none: Some(Reason::Ambiguous),
            })),
            found: Some(Match { nat: true, rule: Rule::Exact }),
            none: None,
        },
        event: Some(Kind::TcpConnect),
        latency_us: Some(120),
        retransmits: None,
        nat: text("10.0.0.1:4443>172.17.0.2:8080"),
        offset_us: Some(-3),
    };
    let line = encoded(&annotation);
    assert_eq!(
        line,
        "ebpf src.pid=4242 src.comm=curl src.exe=/usr/bin/curl src.cmdline=curl%20-H%20'X:%201' \
         src.proc=3 dst.pid=77 dst.comm=nginx dst.via.container_name=web dst.via.none=ambiguous \
         src.match=early dst.match=nat+exact event=tcp_connect latency_us=120 \
         nat=10.0.0.1:4443>172.17.0.2:8080 offset_us=-3"
    );
    assert_eq!(Annotation::decode(&line), Some(annotation));
}

#[test]
fn an_argument_cannot_forge_a_key() {
    let process = Process { cmdline: text("x src.pid=1\nebpf dst.pid=2"), ..Process::default() };
    let annotation =
        Annotation { src: Side { process, ..Side::default() }, ..Annotation::default() };
    let line = encoded(&annotation);
    assert_eq!(line, "ebpf src.cmdline=x%20src.pid=1%0Aebpf%20dst.pid=2");
    let read = Annotation::decode(&line).expect("ours");
    assert_eq!((read.src.process.pid, read.dst.process.pid), (None, None));
}

#[test]
fn later_keys_and_words_are_ignored_and_foreign_comments_refused() {
    let read = Annotation::decode(
        "ebpf src.pid=1 src.future=2 hop=3 src.match=psychic dst.none=lazy dst.pid=x",
    );
    let read = read.expect("ours");
    assert_eq!(read.src.process.pid, Some(1));
    assert_eq!((read.src.found, read.dst.none, read.dst.process.pid), (None, None, None));
    assert_eq!(Annotation::decode("ebpfish src.pid=1"), None);
    assert_eq!(Annotation::decode("PID: 1"), None);
}

#[test]
fn what_a_person_writes_of_ebpf_is_theirs() {
    for theirs in [
        "ebpf",
        "ebpf ",
        "ebpf probe fires here, see ticket 12",
        "ebpf src.pid=1 was here",
        "ebpf  src.pid=1",
        "ebpf src.pid=1 ",
        "ebpf see http://example.com/?src.pid=1",
        "ebpf hop=3",
        "ebpf Src.pid=1",
        "ebpf =1",
        "Ebpf src.pid=1",
    ] {
        assert_eq!(Annotation::decode(theirs), None, "{theirs}");
    }
    assert!(!is_ours(b"ebpf src.comm=\xff"));
    for ours in
        ["ebpf src.none=remote", "ebpf hop=3 dst.via.proc=1", "ebpf nat=a>b", "ebpf src.comm==="]
    {
        assert!(is_ours(ours.as_bytes()), "{ours}");
    }
}

#[test]
fn a_reader_assumes_exact_and_remote() {
    let read = Annotation::decode("ebpf src.pid=1").expect("ours");
    assert_eq!(read.src.outcome(), Ok(Match::EXACT));
    assert_eq!(read.dst.outcome(), Err(Reason::Remote));
}

#[test]
fn what_does_not_fit_an_option_is_left_out_longest_first() {
    let long = "\n".repeat(MAX_COMMENT / 2);
    let process = Process {
        pid: Some(1),
        exe: text("/bin/true"),
        cmdline: text(&long),
        ..Process::default()
    };
    let annotation =
        Annotation { src: Side { process, ..Side::default() }, ..Annotation::default() };
    assert_eq!(encoded(&annotation), "ebpf src.pid=1 src.exe=/bin/true");
}

fn any_text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of("(.|\n){0,12}".prop_map(Cow::Owned))
}

prop_compose! {
    fn any_process()(
        pid in any::<Option<u32>>(), comm in any_text(), cmdline in any_text(),
        pod in any_text(), netns in any::<Option<u64>>(), proc in any::<Option<u32>>(),
    ) -> Process<'static> {
        Process { pid, comm, cmdline, pod, netns, proc, ..Process::default() }
    }
}

prop_compose! {
    fn any_side()(
        process in any_process(), via in prop::option::of(any_process()),
        found in prop::option::of((any::<bool>(), 0..Rule::ALL.len())),
        none in prop::option::of(0..Reason::ALL.len()),
    ) -> Side<'static> {
        Side {
            process,
            // A via of which nothing is known leaves no trace in the text.
            via: via.map(|process| Box::new(Via {
                process, found: Some(Match::direct(Rule::Proxy)), none: None,
            })),
            found: found.map(|(nat, rule)| Match { nat, rule: Rule::ALL[rule] }),
            none: none.map(|reason| Reason::ALL[reason]),
        }
    }
}

proptest! {
    #[test]
    fn any_annotation_survives(
        src in any_side(), dst in any_side(), kind in 0..Kind::ALL.len(),
        latency_us in any::<Option<u32>>(), nat in any_text(), offset_us in any::<Option<i64>>(),
    ) {
        let annotation = Annotation {
            src, dst, event: Some(Kind::ALL[kind]), latency_us, retransmits: None, nat, offset_us,
        };
        let line = encoded(&annotation);
        prop_assert!(!line.contains('\n') && is_ours(line.as_bytes()));
        prop_assert_eq!(Annotation::decode(&line), Some(annotation));
    }

    #[test]
    fn any_comment_is_read_without_panic(line in "ebpf( (src|dst)\\.(via\\.)?[a-z_]{0,5}=\\PC{0,6}){0,4}|\\PC{0,30}") {
        let _ = Annotation::decode(&line);
    }
}
