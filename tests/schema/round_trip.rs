//! Every column survives the file, on its own and together with the others.

use std::fs::File;

use schema::batch::{BatchBuilder, EventWriter};
use schema::columns::{COLUMNS, ColumnType, arrow_schema};
use schema::meta::FileMeta;
use schema::rows::EventFile;
use schema::{Event, Kind, Source};

/// An event with a distinct value in every column, derived from `n`.
fn full_event(n: u32) -> Event<'static> {
    const KINDS: [Kind; 2] = [Kind::TcpConnect, Kind::UdpSend];
    Event {
        ts: 1_700_000_000_000_000_000 + i64::from(n),
        boot_ns: u64::from(n),
        host: "web-1",
        kind: KINDS[n as usize % 2].as_str(),
        seq: u64::from(n) + 1,
        source: Source::Probe.as_str(),
        proto: Some("tcp"),
        direction: Some("out"),
        local_addr: Some("10.0.0.1"),
        remote_addr: Some("2001:db8::1"),
        local_port: Some(40000),
        remote_port: Some(443),
        socket_cookie: Some(u64::MAX - u64::from(n)),
        netns_cookie: Some(3),
        peer_cookie: Some(4),
        netns: Some(4_026_531_840),
        ifname: Some("eth0"),
        ifindex: Some(2),
        mac: Some("02:42:ac:11:00:02"),
        peer_ifindex: Some(5),
        peer_netns: Some(6),
        v6only: Some(n.is_multiple_of(2)),
        community_id: Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        pid: Some(n),
        tid: Some(n + 1),
        uid: Some(1000),
        gid: Some(1001),
        user: Some("ana"),
        comm: Some("curl"),
        thread: Some("worker"),
        exe: Some("/usr/bin/curl"),
        cmdline: Some("curl 'a b' \u{fffd}\n…"),
        start_ts: Some(-1),
        ppid: Some(1),
        parent_uid: Some(0),
        parent_gid: Some(2),
        parent_comm: Some("sh"),
        parent_exe: Some("/bin/sh"),
        cgroup_id: Some(77),
        cgroup_path: Some("/docker/9f86"),
        container_id: Some("9f86"),
        container_name: Some("web"),
        container_image: Some("nginx:1"),
        container_runtime: Some("docker"),
        pod_name: Some("web-0"),
        pod_namespace: Some("default"),
        pod_uid: Some("u-1"),
        latency_us: Some(120),
        retransmits: Some(1),
        segs_out: Some(7),
        segs_in: Some(8),
        bytes_sent: Some(9),
        bytes_received: Some(10),
        srtt_us: Some(11),
        error: Some("ECONNREFUSED"),
        count: Some(12),
        nat_src_addr: Some("172.17.0.1"),
        nat_src_port: Some(13),
        nat_dst_addr: Some("172.17.0.2"),
        nat_dst_port: Some(8080),
        ct_id: Some(14),
        ct_zone: Some(15),
        mono_offset_ns: Some(-16),
    }
}

fn write(events: &[Event<'_>]) -> File {
    let mut file = tempfile::tempfile().expect("temporary file");
    let mut writer = EventWriter::new(&mut file).expect("writer");
    let mut builder = BatchBuilder::default();
    for chunk in events.chunks(1000) {
        for event in chunk {
            builder.append(event);
        }
        assert_eq!(builder.len(), chunk.len());
        writer.write(&builder.finish()).expect("batch");
    }
    assert_eq!(writer.rows(), events.len() as u64);
    writer.finish(&FileMeta { host: "web-1".into(), ..FileMeta::default() }).expect("footer");
    file
}

fn read(file: File, names: &[&str], check: impl Fn(usize, Event<'_>)) -> usize {
    let mut rows = 0;
    for batch in EventFile::open(file).expect("event file").batches(names).expect("row groups") {
        let batch = batch.expect("batch");
        let columns = batch.columns().expect("columns");
        for row in 0..batch.len() {
            check(rows, columns.event(row));
            rows += 1;
        }
    }
    rows
}

#[test]
fn every_column_survives_the_file() {
    let events: Vec<_> = (0..20_000).map(full_event).collect();
    let file = write(&events);
    let rows = read(file, &[], |row, event| assert_eq!(event, events[row]));
    assert_eq!(rows, events.len());
}

#[test]
fn an_event_that_says_nothing_reads_back_as_nulls() {
    let file = write(&[Event { kind: Kind::Clock.as_str(), ..Event::default() }]);
    let rows = read(file, &[], |_, event| {
        assert_eq!(event, Event { kind: "clock", ..Event::default() });
    });
    assert_eq!(rows, 1);
}

#[test]
fn columns_that_were_not_asked_for_read_as_null() {
    let rows = read(write(&[full_event(1)]), &["ts", "pid", "no_such_column"], |_, event| {
        let asked = Event { ts: full_event(1).ts, pid: Some(1), ..Event::default() };
        assert_eq!(event, asked);
    });
    assert_eq!(rows, 1);
}

#[test]
fn an_empty_recording_is_a_valid_file() {
    let file = EventFile::open(write(&[])).expect("event file");
    assert_eq!((file.rows(), file.meta().host.as_str()), (0, "web-1"));
}

#[test]
fn the_file_has_the_types_of_the_table() {
    let schema = arrow_schema();
    for column in COLUMNS {
        let field = schema.field_with_name(column.name).expect(column.name);
        assert_eq!(field.data_type(), &column.kind.arrow(), "{}", column.name);
        assert_eq!(field.is_nullable(), column.nullable, "{}", column.name);
    }
    let dictionaries = COLUMNS.iter().filter(|column| column.kind == ColumnType::Dict).count();
    assert!(dictionaries > 20, "text with few values is a dictionary: {dictionaries}");
}
