use super::*;

fn end(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().expect(text).into()
}

fn owner(pid: u32) -> Owner {
    Owner { pid, tid: pid, uid: 0, gid: 0, cgroup_id: 0, comm: [0; 16] }
}

fn row(kind: Kind, cookie: u64, local: Local, remote: Option<&str>) -> SocketRow {
    SocketRow {
        kind,
        proto: Proto::TCP,
        direction: (kind == Kind::TcpAccept).then_some(EventDirection::In),
        local,
        remote: remote.map(end),
        v6only: None,
        socket_cookie: cookie,
        netns_cookie: 3,
        owner: Some(owner(10)),
        process: None,
        latency_us: None,
        counters: None,
        errno: None,
        count: None,
        peer_cookie: 0,
    }
}

fn known(text: &str) -> Local {
    Local::Known(end(text))
}

#[test]
fn the_closer_of_an_accepted_socket_is_its_owner() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut accept);
    assert!(lives.release(1, 5, owner(10), None).is_none(), "the listener's own process");
    assert!(lives.release(1, 6, owner(11), None).is_none(), "never seen");
    let found = lives.release(7, 5, owner(11), None).expect("a worker");
    let Body::Socket(found) = found.body else { panic!("not of a socket") };
    assert_eq!((found.kind, found.direction), (Kind::Owner, Some(EventDirection::In)));
    assert_eq!(found.owner, Some(owner(11)));
    assert_eq!(found.netns_cookie, 3);
    assert!(found.tuple().is_some());
    let mut close = row(Kind::TcpClose, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut close);
    assert_eq!(close.owner, Some(owner(11)));
}

/// The kernel programs have forgotten such a socket by then, and take it for one older than they.
#[test]
fn who_closes_an_accepted_socket_after_its_connection_is_its_owner_too() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut accept);
    lives.note(&mut row(Kind::TcpClose, 5, known("10.0.0.1:80"), Some("10.0.0.2:999")));
    assert!(
        lives.release_existing(7, 5, (owner(10), None)).is_none(),
        "the listener's own process"
    );
    let found = lives.release_existing(7, 5, (owner(11), None));
    assert_eq!(said(found), Some((Some(EventDirection::In), 11)));
    assert!(lives.release_existing(8, 5, (owner(11), None)).is_none(), "told already");
}

/// Direction of an `owner` row, and whose it is.
fn said(row: Option<Row>) -> Option<(Option<EventDirection>, u32)> {
    let Body::Socket(row) = row?.body else { panic!("not of a socket") };
    assert_eq!(row.kind, Kind::Owner);
    Some((row.direction, row.owner.expect("an owner").pid))
}

#[test]
fn the_first_reader_of_an_accepted_socket_owns_it_and_a_later_one_was_handed_it() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut accept);
    let first = lives.read(2, 5, owner(11), false, None);
    assert_eq!(said(first), Some((Some(EventDirection::In), 11)));
    assert_eq!(said(lives.read(3, 5, owner(12), true, None)), Some((None, 12)));
    assert!(lives.release(4, 5, owner(13), None).is_none(), "readers were seen");
    let mut close = row(Kind::TcpClose, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut close);
    assert_eq!(close.owner, Some(owner(12)));
    assert!(lives.read(5, 5, owner(11), true, None).is_none(), "after the end");
    assert!(lives.read(5, 6, owner(11), true, None).is_none(), "never seen");
}

#[test]
fn who_accepted_and_read_owns_the_socket_until_it_is_handed_on() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut accept);
    assert_eq!(said(lives.read(2, 5, owner(11), true, None)), Some((None, 11)));
}

#[test]
fn an_accepted_socket_without_an_owner_is_its_first_readers() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    accept.owner = None;
    lives.note(&mut accept);
    let first = lives.read(2, 5, owner(11), false, None);
    assert_eq!(said(first), Some((Some(EventDirection::In), 11)));
}

#[test]
fn an_outgoing_socket_is_handed_over_when_another_process_reads() {
    let mut lives = Lives::default();
    let mut connect = row(Kind::TcpConnect, 5, known("10.0.0.1:4000"), Some("10.0.0.2:80"));
    lives.note(&mut connect);
    assert!(lives.read(2, 5, owner(10), false, None).is_none());
    assert_eq!(said(lives.read(2, 5, owner(11), false, None)), Some((None, 11)));
    let mut close = row(Kind::TcpClose, 5, known("10.0.0.1:4000"), Some("10.0.0.2:80"));
    lives.note(&mut close);
    assert_eq!(close.owner, Some(owner(11)));
}

#[test]
fn of_two_forwarded_sockets_the_accepted_one_comes_first() {
    let mut lives = Lives::default();
    lives.note(&mut row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999")));
    let mut connect = row(Kind::TcpConnect, 6, known("10.0.0.1:4000"), Some("10.0.0.3:80"));
    connect.direction = Some(EventDirection::Out);
    lives.note(&mut connect);
    let pair = |row: &SocketRow| (row.socket_cookie, row.peer_cookie);
    for sockets in [[5, 6], [6, 5]] {
        let told = lives.forward(sockets, owner(10));
        assert_eq!((told.kind, pair(&told)), (Kind::Forward, (5, 6)));
        assert_eq!(told.local, known("10.0.0.1:80"));
    }
    assert_eq!(pair(&lives.forward([8, 6], owner(10))), (8, 6), "older than the recording");
    assert_eq!(pair(&lives.forward([6, 8], owner(10))), (8, 6), "the other was opened");
    assert_eq!(pair(&lives.forward([8, 9], owner(10))), (8, 9), "as the data went");
}

#[test]
fn only_a_single_forward_of_an_open_socket_is_told_again() {
    let mut lives = Lives::default();
    let mut accept = row(Kind::TcpAccept, 5, known("10.0.0.1:80"), Some("10.0.0.2:999"));
    lives.note(&mut accept);
    assert_eq!(lives.forward_again(5), None);
    lives.forward([5, 6], owner(10));
    lives.forward([6, 5], owner(10));
    assert_eq!(lives.forward_again(5).map(|row| row.peer_cookie), Some(6));
    lives.forward([5, 7], owner(10));
    assert_eq!(lives.forward_again(5), None, "which of the two is meant nobody knows");
    lives.note(&mut row(Kind::TcpAccept, 8, known("10.0.0.1:80"), Some("10.0.0.2:998")));
    lives.forward([8, 9], owner(10));
    lives.note(&mut row(Kind::TcpClose, 8, known("10.0.0.1:80"), Some("10.0.0.2:998")));
    assert_eq!(lives.forward_again(8), None);
}

#[test]
fn an_outgoing_socket_keeps_its_owner() {
    let mut lives = Lives::default();
    let mut connect = row(Kind::TcpConnect, 5, known("10.0.0.1:4000"), Some("10.0.0.2:80"));
    lives.note(&mut connect);
    assert!(lives.release(1, 5, owner(11), None).is_none());
}

#[test]
fn the_close_of_a_udp_socket_gets_its_ends() {
    let mut lives = Lives::default();
    let mut connect = row(Kind::UdpConnect, 5, Local::Unknown, Some("10.0.0.53:53"));
    lives.note(&mut connect);
    lives.set_ends(5, end("10.0.0.1:4000"), end("10.0.0.54:53"));
    let mut close = row(Kind::UdpClose, 5, Local::Unknown, None);
    lives.note(&mut close);
    assert_eq!(close.local, Local::Unknown, "those were the ends of another connect");
    lives.set_ends(5, end("10.0.0.1:4000"), end("10.0.0.53:53"));
    let mut close = row(Kind::UdpClose, 5, Local::Unknown, None);
    lives.note(&mut close);
    assert_eq!((close.local, close.remote), (known("10.0.0.1:4000"), Some(end("10.0.0.53:53"))));
    assert_eq!(close.direction, Some(EventDirection::Out));
}

#[test]
fn a_datagram_does_not_make_a_socket_connected() {
    let mut lives = Lives::default();
    let mut send = row(Kind::UdpSend, 5, known("0.0.0.0:53"), Some("10.0.0.9:999"));
    lives.note(&mut send);
    let mut close = row(Kind::UdpClose, 5, Local::Unknown, None);
    lives.note(&mut close);
    assert_eq!((close.local, close.remote, close.direction), (known("0.0.0.0:53"), None, None));
}

#[test]
fn a_connect_to_the_wildcard_has_a_peer_on_loopback() {
    assert!(is_same_peer(end("0.0.0.0:53"), end("127.0.0.1:53")));
    assert!(is_same_peer(end("[::]:53"), end("[::1]:53")));
    assert!(!is_same_peer(end("0.0.0.0:53"), end("127.0.0.1:54")));
    assert!(!is_same_peer(end("0.0.0.0:53"), end("10.0.0.1:53")));
}
