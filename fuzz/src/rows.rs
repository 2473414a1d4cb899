//! What event files can say: rows in any order with any values, and a join with them comes to its
//! end.

use schema::meta::FileMeta;
use schema::{Event, Kind};

use crate::blocks::Block;
use crate::{file, join, place, scene};

const ADDRESSES: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "8.8.8.8",
    "0.0.0.0",
    "::",
    "2001:db8::1",
    "2001:db8::2",
    "127.0.0.1",
    "172.17.0.2",
    "::ffff:10.0.0.1",
    "not an address",
    "",
];
const PORTS: [u16; 8] = [40_000, 80, 53, 4660, 50_000, 4789, 0, 65_535];
const PROTOS: [&str; 5] = ["tcp", "udp", "sctp", "icmp", "nonsense"];
const WORDS: [&str; 8] =
    ["curl", "nginx", "web", "lo", "eth0", "removed", "ring", "100% \u{2026}\n"];
const START: i64 = 1_700_000_000_000_000_000;
const TIMES: [i64; 8] =
    [0, 1, 999_000_000, 1_000_000_000, 2_000_000_000, 60_000_000_000, i64::MIN, i64::MAX];

/// The bytes of an input, one after the other; zeros behind its end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Mostly there.
    fn some<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let choice = usize::from(self.byte());
        all.get(choice % (all.len() + 1)).copied()
    }

    fn number<T: From<u8>>(&mut self) -> Option<T> {
        let byte = self.byte();
        (byte < 250).then(|| T::from(byte % 9))
    }

    fn time(&mut self) -> i64 {
        let base = self.of(&TIMES);
        let base = if base.unsigned_abs() > START.unsigned_abs() { base } else { START + base };
        base.saturating_add(i64::from(self.byte()) * 1_000_000)
    }
}

/// The input chooses the rows of a recording; the capture is always the same.
pub fn check(input: &[u8]) {
    let events = place("ev.parquet");
    let mut choices = Choices(input);
    let meta = meta(&mut choices);
    let mut rows = vec![];
    while !choices.0.is_empty() && rows.len() < 64 {
        rows.push(row(&mut choices, rows.len() as u64));
    }
    scene::write_events(&events, &rows, &meta);
    join::with_events(&file("in.pcapng", &scene::pcapng_of(&packets(), false, &[])), &events);
}

fn meta(choices: &mut Choices<'_>) -> FileMeta {
    let time = |choice: &str| choice.to_owned();
    const STARTS: [&str; 4] =
        ["2023-11-14T22:13:20.000000000Z", "", "nonsense", "9999-12-31T23:59:59.999999999Z"];
    const LOST: [&str; 4] = ["", r#"{"channel": 3}"#, "{", r#"{"ring": -1}"#];
    FileMeta {
        host: choices.of(&["web-1", "", "other"]).to_owned(),
        boot_id: choices.of(&["b", ""]).to_owned(),
        start: time(choices.of(&STARTS)),
        end: time(choices.of(&["2023-11-14T22:14:20.000000000Z", "", STARTS[0], STARTS[3]])),
        lost: choices.of(&LOST).to_owned(),
        lost_total: choices.of(&LOST).to_owned(),
        recording: choices.of(&["", "r"]).to_owned(),
        part: choices.byte().into(),
        complete: choices.byte() & 1 == 0,
        ..FileMeta::default()
    }
}

fn row(choices: &mut Choices<'_>, number: u64) -> Event<'static> {
    let kind = usize::from(choices.byte());
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let ts = choices.time();
    Event {
        ts,
        boot_ns: choices.time().unsigned_abs(),
        host: choices.of(&["web-1", "other"]),
        kind: kinds.get(kind % (kinds.len() + 1)).copied().unwrap_or("nonsense"),
        seq: number + u64::from(choices.byte() / 100),
        source: choices.of(&["probe", "snapshot", "conntrack", "runtime", "recorder", "nonsense"]),
        proto: choices.some(&PROTOS),
        direction: choices.some(&["out", "in", "nonsense"]),
        local_addr: choices.some(&ADDRESSES),
        local_port: choices.some(&PORTS),
        remote_addr: choices.some(&ADDRESSES),
        remote_port: choices.some(&PORTS),
        socket_cookie: choices.number(),
        peer_cookie: choices.number(),
        netns_cookie: choices.number(),
        netns: choices.number(),
        ifname: choices.some(&WORDS),
        ifindex: choices.number(),
        mac: choices.some(&WORDS),
        peer_ifindex: choices.number(),
        peer_netns: choices.number(),
        v6only: choices.some(&[true, false]),
        pid: choices.number(),
        tid: choices.number(),
        comm: choices.some(&WORDS),
        exe: choices.some(&WORDS),
        cmdline: choices.some(&[
            "docker-proxy -proto tcp -host-ip 10.0.0.1 -host-port 80 \
            -container-ip 172.17.0.2 -container-port 80",
            "curl x",
            "'",
        ]),
        start_ts: choices.some(&TIMES),
        ppid: choices.number(),
        container_id: choices.some(&WORDS),
        container_name: choices.some(&WORDS),
        latency_us: choices.number(),
        bytes_sent: choices.number(),
        bytes_received: choices.number(),
        error: choices.some(&WORDS),
        count: choices.some(&[0, 1, u64::MAX]),
        nat_src_addr: choices.some(&ADDRESSES),
        nat_src_port: choices.some(&PORTS),
        nat_dst_addr: choices.some(&ADDRESSES),
        nat_dst_port: choices.some(&PORTS),
        ct_id: choices.number(),
        mono_offset_ns: choices.some(&[START, START + 5_000_000_000, 0, i64::MIN, i64::MAX]),
        ..Event::default()
    }
}

/// The packets of the scene, and one of every other kind there is.
fn packets() -> Vec<Vec<u8>> {
    let others = crate::frames::frames().into_iter().filter(|frame| frame.link == 101);
    let all: Vec<_> =
        scene::datagrams().into_iter().chain(others.map(|frame| frame.bytes)).collect();
    debug_assert!(matches!(
        crate::blocks::read(&scene::pcapng_of(&all[..1], false, &[]))[..],
        [Block::Other(_), Block::Other(_), Block::Packet { .. }, Block::Other(_)]
    ));
    all
}
