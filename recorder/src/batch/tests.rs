//! Rows, and what a reader of the file sees of them.

use std::{fs::File, sync::Arc};

use schema::{
    Endpoint, EventDirection, Proto,
    batch::EventWriter,
    kind::LossStage,
    meta::FileMeta,
    rows::{EventBatch, EventFile},
};

use super::*;
use crate::{
    interfaces::{Interface, Peer, Serves},
    process::{Parent, Program},
    row::{Counters, Local},
};

const START: Sample = Sample { boot_ns: 100, offset_ns: 1_000_000 };

fn socket_row() -> SocketRow {
    let mut comm = [0; 16];
    comm[..6].copy_from_slice(b"worker");
    SocketRow {
        kind: Kind::TcpClose,
        proto: Proto::TCP,
        direction: Some(EventDirection::In),
        local: Local::Known(Endpoint::v4([10, 0, 0, 1], 80)),
        remote: Some(Endpoint::v4([10, 0, 0, 2], 999)),
        v6only: None,
        socket_cookie: 5,
        netns_cookie: 6,
        owner: Some(Owner { pid: 42, tid: 43, uid: u32::MAX, gid: 7, cgroup_id: 8, comm }),
        process: None,
        latency_us: None,
        counters: None,
        errno: None,
        count: None,
        peer_cookie: 0,
    }
}

fn socket(row: SocketRow) -> Body {
    Body::Socket(Box::new(row))
}

/// Writes the rows to a file and reads them back.
fn written(rows: Vec<(u64, Body)>) -> EventBatch {
    let directory = Directory::start(vec![]).expect("no thread");
    let mut batcher = Batcher::new("h".to_owned(), START, directory);
    batcher.set_namespace(6, 4_026_531_833);
    let mut processes = Processes::default();
    for (boot_ns, body) in rows {
        batcher.push(&Row { boot_ns, body }, &mut processes);
    }
    let mut writer = EventWriter::new(tempfile::tempfile().expect("file")).expect("header");
    writer.write(&batcher.take()).expect("rows");
    let file: File = writer.finish(&FileMeta::default()).expect("footer");
    let mut batches = EventFile::open(file).expect("our file").batches(&[]).expect("rows");
    batches.next().expect("a batch").expect("whole")
}

#[test]
fn a_process_that_is_gone_leaves_what_the_hook_saw() {
    let mut main_thread = socket_row();
    main_thread.owner = main_thread.owner.map(|owner| Owner { tid: 42, ..owner });
    let batch = written(vec![(200, socket(socket_row())), (201, socket(main_thread))]);
    let columns = batch.columns().expect("columns");
    let [other, main] = [0, 1].map(|row| columns.event(row));
    // Of another thread's name nobody knows whether it is the process's.
    assert_eq!((other.comm, other.thread), (None, Some("worker")));
    assert_eq!((main.comm, main.thread), (Some("worker"), None));
    for event in [other, main] {
        assert_eq!((event.pid, event.gid, event.user), (Some(42), Some(7), None));
        assert_eq!((event.exe, event.start_ts, event.ppid), (None, None, None));
        assert_eq!((event.cgroup_id, event.netns), (Some(8), Some(4_026_531_833)));
        assert!(event.community_id.is_some());
    }
}

#[test]
fn a_process_is_written_with_its_father_and_container() {
    let id = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let process = Process {
        program: Arc::new(Program::told("nginx", Some("/usr/sbin/nginx"), None)),
        start_ticks: Some(250),
        ppid: 1,
        parent: Some(Arc::new(Parent {
            uid: 0,
            gid: 0,
            program: Arc::new(Program::told("init", None, None)),
        })),
        membership: Some(Arc::new(crate::container::membership(
            format!("0::/docker/{id}\n").as_bytes(),
        ))),
    };
    let counters = Counters {
        bytes_sent: 1,
        bytes_received: 2,
        retransmits: 3,
        segs_out: 4,
        segs_in: 5,
        srtt_us: 6,
    };
    let process = Some(Arc::new(process));
    let row = SocketRow { process, counters: Some(counters), ..socket_row() };
    let batch = written(vec![(200, socket(row))]);
    let columns = batch.columns().expect("columns");
    let event = columns.event(0);
    assert_eq!((event.comm, event.thread), (Some("nginx"), Some("worker")));
    assert_eq!((event.parent_comm, event.parent_exe), (Some("init"), None));
    let ticks = rustix::param::clock_ticks_per_second();
    let start = 250 * 1_000_000_000 / ticks.cast_signed() + START.offset_ns;
    assert_eq!(event.start_ts, Some(start));
    assert_eq!((event.container_id, event.container_runtime), (Some(id), Some("docker")));
    assert_eq!((event.bytes_sent, event.srtt_us), (Some(1), Some(6)));
}

#[test]
fn every_row_has_the_last_offset_and_the_next_number() {
    let failed = SocketRow { errno: Some(111), ..socket_row() };
    let odd = SocketRow { errno: Some(4000), ..socket_row() };
    let batch = written(vec![
        (100, Body::Clock(START.offset_ns)),
        (200, socket(failed)),
        (300, Body::Clock(5)),
        (299, socket(odd)),
        (400, Body::Lost(LossStage::Ring, 9)),
    ]);
    let columns = batch.columns().expect("columns");
    let events: Vec<_> = (0..batch.len()).map(|row| columns.event(row)).collect();
    let times: Vec<_> = events.iter().map(|event| event.ts).collect();
    assert_eq!(times, [1_000_100, 1_000_200, 305, 1_000_299, 405]);
    assert!(events.iter().enumerate().all(|(position, event)| event.seq == position as u64));
    assert_eq!((events[1].error, events[3].error), (Some("ECONNREFUSED"), Some("errno 4000")));
    assert_eq!(
        (events[4].source, events[4].error, events[4].count),
        ("recorder", Some("ring"), Some(9))
    );
}

#[test]
fn unknown_ends_are_null_and_wildcards_are_text() {
    let unknown = SocketRow { local: Local::Unknown, remote: None, owner: None, ..socket_row() };
    let wildcard = Local::Known(Endpoint::v6([0; 16], 80));
    let listener = SocketRow { local: wildcard, remote: None, owner: None, ..socket_row() };
    let interface = Interface {
        index: 2,
        name: "veth1".into(),
        mac: Some("02:00:00:00:00:01".into()),
        address: "::ffff:10.0.0.1".parse().ok(),
        netns: 1,
        netns_cookie: Some(5),
        peer: Some(Peer { netns: Some(9), index: 4 }),
        serves: Some(Arc::new(Serves { container: None, pod_uid: Some("p".to_owned()) })),
        removed: true,
    };
    let batch = written(vec![
        (200, socket(unknown)),
        (201, socket(listener)),
        (202, Body::Interface(Box::new(interface))),
    ]);
    let columns = batch.columns().expect("columns");
    let [unknown, listener, interface] = [0, 1, 2].map(|row| columns.event(row));
    assert_eq!((unknown.local_addr, unknown.local_port, unknown.pid), (None, None, None));
    assert_eq!((listener.local_addr, listener.local_port), (Some("::"), Some(80)));
    assert_eq!((listener.remote_addr, listener.community_id), (None, None));
    assert_eq!((interface.local_addr, interface.ifname), (Some("10.0.0.1"), Some("veth1")));
    assert_eq!((interface.netns, interface.netns_cookie), (Some(1), Some(5)));
    assert_eq!((interface.peer_netns, interface.peer_ifindex), (Some(9), Some(4)));
    assert_eq!((interface.pod_uid, interface.container_id), (Some("p"), None));
    assert_eq!((interface.source, interface.error), ("snapshot", Some("removed")));
}
