use super::*;

fn parse(line: &str) -> Result<Task, clap::Error> {
    Cli::try_parse_from(line.split(' ')).and_then(Cli::into_task)
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_join_needs_capture_events_and_output() {
    let task = parse("ebpfjoin a.pcap b.parquet c.parquet -o d --before 1m --threads 3");
    let Ok(Task::Join(config, Report::Table)) = task else { panic!("{task:?}") };
    assert_eq!(config.sources.capture, PathBuf::from("a.pcap"));
    assert_eq!(config.sources.events.len(), 2);
    assert_eq!(config.sources.windows.before_ns, 60_000_000_000);
    assert_eq!(config.threads.get(), 3);
    assert!(config.style.pid_option);
    for line in ["ebpfjoin", "ebpfjoin a.pcap", "ebpfjoin a.pcap b -o", "ebpfjoin a b"] {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2);
    }
}

#[test]
fn standard_output_is_for_one_thing() {
    for line in [
        "ebpfjoin a b -o - --json",
        "ebpfjoin a b -o c --report - --json",
        "ebpfjoin a b -o c --packets - --json",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains("give a file instead of -, or leave out --json"));
    }
    assert!(parse("ebpfjoin a b -o -").is_ok());
    assert!(parse("ebpfjoin - b -o c --json").is_ok());
}

#[test]
fn times_that_go_back_are_refused_by_what_reads_them() {
    for option in ["--before", "--after"] {
        let error = parse(&format!("ebpfjoin a b -o c {option} -5s")).expect_err(option);
        assert!(error.to_string().contains("not a negative one"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
    let task = parse("ebpfjoin a b -o c --clock-offset -5s");
    assert!(task.is_ok(), "{task:?}");
}

#[test]
fn threads_are_as_many_as_can_be_used() {
    for (threads, fits) in [("0", false), ("1", true), ("256", true), ("257", false)] {
        let line = format!("ebpfjoin a b -o d --threads {threads}");
        assert_eq!(parse(&line).is_ok(), fits, "{threads}");
    }
}

#[test]
fn one_thing_is_done_to_wireshark() {
    let task = parse("ebpfjoin wireshark --uninstall --program /opt/tshark");
    let Ok(Task::Wireshark(config)) = task else { panic!("{task:?}") };
    assert_eq!(config.action, Action::Uninstall);
    assert_eq!(config.program, Some(PathBuf::from("/opt/tshark")));
    for line in ["ebpfjoin wireshark", "ebpfjoin wireshark --install --where"] {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2);
    }
}

#[test]
fn show_stands_beside_the_join() {
    let task = parse("ebpfjoin show e.pcapng -n 5");
    let Ok(Task::Show(show)) = task else { panic!("{task:?}") };
    assert_eq!((show.count, show.json), (Some(5), false));
    assert!(parse("ebpfjoin show").is_err());
}
