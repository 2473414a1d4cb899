//! A made-up scene: a web server and its client on one machine, with the events that the recorder
//! would have written, and captures of their connection in every form.

use std::fs::{self, File};
use std::path::Path;

use schema::batch::{BatchBuilder, EventWriter};
use schema::meta::FileMeta;
use schema::{Event, Kind, Source};
use tempfile::TempDir;

/// 2023-11-14 22:13:20 UTC.
const START_NS: i64 = 1_700_000_000_000_000_000;

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

/// When packet `n` of the connection was seen, nanoseconds since 1970.
pub(crate) fn packet_ns(n: usize) -> u64 {
    u64::try_from(START_NS).expect("after 1970") + 1_000_100_000 + n as u64 * 1_000_000
}

/// A folder with `ev.parquet`.
pub(crate) fn scene() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    write_events(&folder.path().join("ev.parquet"), &rows(), &meta());
    folder
}

/// What the recording says of itself.
pub(crate) fn meta() -> FileMeta {
    FileMeta {
        host: "web-1".into(),
        boot_id: "b".into(),
        start: "2023-11-14T22:13:20.000000000Z".into(),
        end: "2023-11-14T22:14:20.000000000Z".into(),
        complete: true,
        ..FileMeta::default()
    }
}

/// The rows of the recording.
pub(crate) fn rows() -> [Event<'static>; 5] {
    let base = Event { host: "web-1", source: Source::Probe.as_str(), ..Event::default() };
    let tcp = Event { proto: Some("tcp"), ..base };
    let client = Event {
        local_addr: Some("10.0.0.1"),
        local_port: Some(CLIENT.1),
        remote_addr: Some("10.0.0.2"),
        remote_port: Some(SERVER.1),
        direction: Some("out"),
        socket_cookie: Some(11),
        pid: Some(4242),
        tid: Some(4243),
        uid: Some(1000),
        user: Some("ana"),
        comm: Some("curl"),
        exe: Some("/usr/bin/curl"),
        cmdline: Some("curl -H 'X: src.pid=1' http://10.0.0.2/"),
        start_ts: Some(START_NS - 5),
        ..tcp
    };
    let server = Event {
        local_addr: client.remote_addr,
        local_port: client.remote_port,
        remote_addr: client.local_addr,
        remote_port: client.local_port,
        direction: Some("in"),
        socket_cookie: Some(22),
        pid: Some(77),
        tid: Some(77),
        comm: Some("nginx"),
        container_id: Some("9f86d081884c7d65"),
        container_name: Some("web"),
        pod_namespace: Some("default"),
        pod_name: Some("web-0"),
        start_ts: Some(START_NS - 9),
        ..tcp
    };
    let at = |event: Event<'static>, kind: Kind, offset_ns: i64| Event {
        ts: START_NS + offset_ns,
        kind: kind.as_str(),
        ..event
    };
    let second = 1_000_000_000;
    let mut seq = 0;
    [
        at(client, Kind::TcpConnect, second),
        at(server, Kind::TcpAccept, second + 2_500_000),
        at(Event { latency_us: Some(310), ..client }, Kind::TcpEstablished, second + 2_400_000),
        at(client, Kind::TcpClose, 2 * second),
        at(server, Kind::TcpClose, 2 * second),
    ]
    .map(|row| {
        seq += 1;
        Event { seq, ..row }
    })
}

/// Writes an event file.
pub(crate) fn write_events(path: &Path, rows: &[Event<'_>], meta: &FileMeta) {
    let mut builder = BatchBuilder::default();
    rows.iter().for_each(|row| builder.append(row));
    let file = File::create(path).expect("created");
    let mut writer = EventWriter::new(file).expect("writer");
    writer.write(&builder.finish()).expect("rows");
    writer.finish(meta).expect("footer");
}

/// The frames of the connection, without a link layer: handshake, data both ways, and an unrelated
/// DNS query at the end.
pub(crate) fn datagrams() -> Vec<Vec<u8>> {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let up = |flags, seq, ack, data: &[u8]| {
        ip(6, CLIENT, SERVER, &tcp(CLIENT.1, SERVER.1, flags, seq, ack, data))
    };
    let down = |flags, seq, ack, data: &[u8]| {
        ip(6, SERVER, CLIENT, &tcp(SERVER.1, CLIENT.1, flags, seq, ack, data))
    };
    vec![
        up(SYN, 100, 0, &[]),
        down(SYN | ACK, 500, 101, &[]),
        up(ACK, 101, 501, &[]),
        up(ACK, 101, 501, b"GET /"),
        down(ACK, 501, 106, b"hello"),
        up(ACK, 106, 506, &[]),
        ip(17, CLIENT, ([8, 8, 8, 8], 53), &[0x9c, 0x40, 0, 53, 0, 9, 0, 0, b'?']),
        ip(17, CLIENT, ([8, 8, 8, 8], 53), &[0x9c, 0x40, 0, 53, 0, 9, 0, 0, b'!']),
    ]
}

fn tcp(src: u16, dst: u16, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
    let mut segment = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    segment
}

/// An IPv4 packet.
pub(crate) fn ip(proto: u8, src: ([u8; 4], u16), dst: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).expect("short");
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, proto, 0, 0]);
    packet.extend(src.0);
    packet.extend(dst.0);
    packet.extend(payload);
    packet
}

/// A pcapng file of raw IP packets in either byte order, each with `options`; nanoseconds.
pub(crate) fn pcapng(big: bool, options: &[super::blocks::Opt]) -> Vec<u8> {
    pcapng_of(&datagrams(), big, options)
}

/// The same of these packets.
pub(crate) fn pcapng_of(
    datagrams: &[Vec<u8>],
    big: bool,
    options: &[super::blocks::Opt],
) -> Vec<u8> {
    let order = Order { big };
    let mut file = order.head();
    for (n, data) in datagrams.iter().enumerate() {
        file.extend(order.packet(packet_ns(n), data, options));
        // An unknown block between packets, to be kept.
        file.extend(order.block(0x0bad, &order.u32(u32::try_from(n).expect("few"))));
    }
    file
}

/// The same of the first packets of the connection again and again, each with the comment beside it.
pub(crate) fn pcapng_commented(comments: &[Option<&str>]) -> Vec<u8> {
    let order = Order { big: false };
    let mut file = order.head();
    let datagrams = datagrams();
    for (n, comment) in comments.iter().enumerate() {
        let options: Vec<_> = comment.iter().map(|text| (1, text.as_bytes().to_vec())).collect();
        file.extend(order.packet(packet_ns(n), &datagrams[n % 2], &options));
    }
    file
}

/// Numbers, options and blocks in one of the two byte orders.
pub(crate) struct Order {
    pub(crate) big: bool,
}

impl Order {
    /// A section and an interface of raw IP packets and nanoseconds.
    fn head(&self) -> Vec<u8> {
        [begin(self), described(self, "eth0")].concat()
    }

    pub(crate) fn u16(&self, value: u16) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub(crate) fn u32(&self, value: u32) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub(crate) fn options(&self, options: &[super::blocks::Opt]) -> Vec<u8> {
        let mut bytes = vec![];
        for (code, value) in options {
            bytes.extend(self.u16(*code));
            bytes.extend(self.u16(u16::try_from(value.len()).expect("short")));
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }

    pub(crate) fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let length = self.u32(u32::try_from(body.len() + 12).expect("short"));
        [&self.u32(kind)[..], &length, body, &length].concat()
    }

    pub(crate) fn packet(&self, ns: u64, data: &[u8], options: &[super::blocks::Opt]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("short");
        let (high, low) = ((ns >> 32) as u32, (ns & 0xffff_ffff) as u32);
        let mut body: Vec<u8> =
            [0, high, low, length, length].into_iter().flat_map(|word| self.u32(word)).collect();
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.options(options));
        self.block(6, &body)
    }
}

/// A legacy file of raw IP packets.
pub(crate) fn pcap(big: bool, nano: bool) -> Vec<u8> {
    let order = Order { big };
    let magic = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = order.u32(magic);
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    for word in [0, 0, 65535, 101] {
        file.extend(order.u32(word));
    }
    for (n, data) in datagrams().iter().enumerate() {
        let ns = packet_ns(n);
        let fraction = ns % 1_000_000_000 / if nano { 1 } else { 1000 };
        let length = u32::try_from(data.len()).expect("short");
        for word in [(ns / 1_000_000_000) as u32, fraction as u32, length, length] {
            file.extend(order.u32(word));
        }
        file.extend(data);
    }
    file
}

/// Writes `bytes` to `name` in `folder`.
pub(crate) fn put(folder: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(folder.path().join(name), bytes).expect("written");
}

/// A section header that tells no length.
pub(crate) fn begin(order: &Order) -> Vec<u8> {
    let mut header = order.u32(0x1a2b_3c4d);
    header.extend(order.u16(1));
    header.extend(order.u16(0));
    header.extend([0xff; 8]);
    order.block(0x0a0d_0d0a, &header)
}

/// An interface of raw IP packets, whose times count nanoseconds.
pub(crate) fn described(order: &Order, name: &str) -> Vec<u8> {
    let mut body = order.u16(101);
    body.extend(order.u16(0));
    body.extend(order.u32(0));
    body.extend(order.options(&[(2, name.into()), (9, vec![9])]));
    order.block(1, &body)
}
