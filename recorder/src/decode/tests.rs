//! Every kind of record, and what becomes of it.

use schema::wire::FAMILY_V6;

use super::*;

fn zeroed() -> Record {
    Record::from_bytes(&[0; size_of::<Record>()]).expect("the length of a record")
}

fn addr(text: &str) -> [u8; 16] {
    Endpoint::new(text.parse().expect(text), 0).mapped()
}

/// A record of a TCP connection 10.0.0.1:4000 > 10.0.0.2:80.
fn tcp(kind: RecordKind, flags: u8) -> Record {
    let mut record = zeroed();
    record.kind = kind as u8;
    record.proto = PROTO_TCP;
    record.family = FAMILY_V4;
    record.flags = flags;
    record.boot_ns = 77;
    record.socket_cookie = 5;
    record.local_addr = addr("10.0.0.1");
    record.remote_addr = addr("10.0.0.2");
    record.local_port = 4000;
    record.remote_port = 80;
    if flags & FLAG_OWNER != 0 {
        record.pid = 42;
        record.tid = 43;
        record.comm[..4].copy_from_slice(b"curl");
    }
    record
}

fn udp(kind: RecordKind, family: u8) -> Record {
    let mut record = zeroed();
    record.kind = kind as u8;
    record.proto = PROTO_UDP;
    record.family = family;
    record.flags = FLAG_OWNER;
    record.count = 3;
    record
}

fn meaning(record: &Record) -> Option<Decoded> {
    decode_record(record, &mut Spare::default())
}

fn row(record: &Record) -> SocketRow {
    match meaning(record).expect("known kind") {
        Decoded::Row(Row { body: Body::Socket(row), boot_ns }) => {
            assert_eq!(boot_ns, record.boot_ns);
            *row
        }
        other => panic!("not a row of a socket: {other:?}"),
    }
}

use EventDirection::{In, Out};

#[test]
fn tcp_kinds_and_directions() {
    for (kind, flags, want, direction) in [
        (RecordKind::TcpConnect, FLAG_OUTGOING, Kind::TcpConnect, Some(Out)),
        (RecordKind::TcpEstablished, FLAG_OUTGOING, Kind::TcpEstablished, Some(Out)),
        (RecordKind::TcpConnectFail, FLAG_OUTGOING, Kind::TcpConnectFail, Some(Out)),
        (RecordKind::TcpAccept, 0, Kind::TcpAccept, Some(In)),
        (RecordKind::TcpClose, FLAG_OUTGOING | FLAG_OWNER, Kind::TcpClose, Some(Out)),
        (RecordKind::TcpClose, FLAG_OWNER, Kind::TcpClose, Some(In)),
        (RecordKind::TcpClose, 0, Kind::TcpClose, None),
        (RecordKind::TcpRetransmit, FLAG_OUTGOING, Kind::TcpRetransmit, Some(Out)),
        (RecordKind::TcpRetransmit, FLAG_OWNER, Kind::TcpRetransmit, Some(In)),
    ] {
        let row = row(&tcp(kind, flags));
        assert_eq!((row.kind, row.direction), (want, direction), "{kind:?} {flags}");
        let tuple = row.tuple().expect("both ends");
        assert_eq!(tuple.to_string(), "tcp 10.0.0.1:4000 > 10.0.0.2:80");
        assert_eq!(row.owner.is_some(), flags & FLAG_OWNER != 0);
    }
}

#[test]
fn only_the_fields_of_its_kind_are_set() {
    let mut record = tcp(RecordKind::TcpEstablished, FLAG_OUTGOING);
    record.latency_us = 120;
    record.count = 9;
    let established = row(&record);
    assert_eq!((established.latency_us, established.count), (Some(120), None));
    record.kind = RecordKind::TcpRetransmit as u8;
    let retransmit = row(&record);
    assert_eq!((retransmit.latency_us, retransmit.count), (None, Some(9)));
    record.kind = RecordKind::TcpConnectFail as u8;
    record.errno = 111;
    assert_eq!(row(&record).errno, Some(111));
}

#[test]
fn counters_only_where_the_kernel_gave_them() {
    let mut record = tcp(RecordKind::TcpClose, FLAG_OWNER);
    record.bytes_sent = 10;
    assert_eq!(row(&record).counters, None);
    record.flags |= FLAG_COUNTERS;
    assert_eq!(row(&record).counters.map(|counters| counters.bytes_sent), Some(10));
}

#[test]
fn a_listener_has_no_other_end_and_no_direction() {
    let mut record = tcp(RecordKind::TcpListen, FLAG_OWNER);
    record.remote_addr = [0; 16];
    record.remote_port = 0;
    record.local_addr = [0; 16];
    for (family, text) in [(FAMILY_V4, "0.0.0.0:4000"), (FAMILY_V6, "[::]:4000")] {
        record.family = family;
        let listen = row(&record);
        assert_eq!(listen.local.endpoint().map(|end| end.to_string()).as_deref(), Some(text));
        assert_eq!((listen.remote, listen.direction, listen.tuple()), (None, None, None));
        record.kind = RecordKind::TcpClose as u8;
        assert_eq!(row(&record).direction, None);
    }
}

#[test]
fn an_autobound_connect_has_no_local_end_yet() {
    let mut record = udp(RecordKind::UdpConnect, FAMILY_V4);
    record.remote_addr = addr("10.0.0.53");
    record.remote_port = 53;
    let connect = row(&record);
    assert_eq!((connect.kind, connect.direction), (Kind::UdpConnect, Some(Out)));
    assert_eq!((connect.local, connect.count, connect.tuple()), (Local::Unknown, None, None));
    assert_eq!(connect.remote.map(|end| end.to_string()).as_deref(), Some("10.0.0.53:53"));
}

#[test]
fn datagrams_are_counted_and_may_have_a_wildcard_local_end() {
    for (kind, want, direction) in
        [(RecordKind::UdpSend, Kind::UdpSend, Out), (RecordKind::UdpRecv, Kind::UdpRecv, In)]
    {
        let mut record = udp(kind, FAMILY_V4);
        record.local_port = 53;
        record.remote_addr = addr("10.0.0.9");
        record.remote_port = 999;
        let row = row(&record);
        assert_eq!((row.kind, row.direction, row.count), (want, Some(direction), Some(3)));
        let local = row.local.endpoint().expect("port known");
        assert_eq!((local.to_string().as_str(), row.tuple()), ("0.0.0.0:53", None));
    }
}

#[test]
fn udp_bind_and_close_have_one_end_at_most() {
    let mut record = udp(RecordKind::UdpBind, FAMILY_V6);
    record.local_port = 53;
    let bind = row(&record);
    assert_eq!(bind.local.endpoint().map(|end| end.to_string()).as_deref(), Some("[::]:53"));
    assert_eq!((bind.kind, bind.direction, bind.count), (Kind::UdpBind, None, None));
    let close = row(&udp(RecordKind::UdpClose, 0));
    assert_eq!((close.kind, close.local, close.remote), (Kind::UdpClose, Local::Unknown, None));
}

#[test]
fn a_release_and_an_error_are_no_rows() {
    let release = meaning(&tcp(RecordKind::TcpRelease, FLAG_OWNER));
    assert!(matches!(
        release,
        Some(Decoded::Release { socket_cookie: 5, closer: Owner { pid: 42, tid: 43, .. }, .. })
    ));
    let mut record = tcp(RecordKind::SocketError, 0);
    record.errno = 111;
    let Some(Decoded::Error { tuple, errno: 111, boot_ns: 77 }) = meaning(&record) else {
        panic!("an error");
    };
    assert_eq!(tuple.to_string(), "tcp 10.0.0.1:4000 > 10.0.0.2:80");
}

#[test]
fn a_forward_names_two_sockets_and_a_process() {
    let mut record = tcp(RecordKind::Forward, FLAG_OWNER);
    record.peer_cookie = 6;
    let Some(Decoded::Forward { boot_ns: 77, sockets, forwarder }) = meaning(&record) else {
        panic!("a forward");
    };
    assert_eq!((sockets, forwarder.pid), ([5, 6], 42));
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(decode(b"").is_none());
    assert!(decode(&[0xff; size_of::<Record>()]).is_none());
    assert!(decode(&[0; 1000]).is_none());
    let mut record = tcp(RecordKind::TcpAccept, 0);
    record.proto = 132;
    assert!(meaning(&record).is_none());
}
