//! Seeded traffic of one host with the rest of the world and with itself: many flows at once, TCP
//! from SYN to FIN and UDP, of IPv4 and IPv6, and the recording of it. The same seed gives the same
//! files, byte for byte, and what a join must find in them is counted on the way.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

mod flow;
mod frame;
mod process;
mod random;
mod recording;
mod shape;

use self::flow::Flow;
use self::frame::{ACK, FIN, PSH, Packet, SYN};
use self::random::{Random, mix};
use self::recording::{Row, What};
pub(crate) use self::shape::{SHAPES, Shape};

/// Rises with every change of what is written.
const VERSION: u64 = 3;
const HOST: &str = "web-1";
const BOOT_ID: &str = "4f6c1d52-7a0e-4c55-9b1b-2f1f6a3c9e10";
/// When the capture begins, nanoseconds since 1970.
const START_NS: u64 = 1_700_000_000_000_000_000;
/// Between two packets, in the mean.
const GAP_NS: u64 = 1000;
/// After which the next packet of a handshake comes at the latest. A host says a SYN again after a
/// second, and this one says none again.
const HANDSHAKE_NS: u64 = 100_000_000;
/// The longest payload.
const NOISE: usize = 1500;

/// What a join has to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) packets: u64,
    /// Sources and destinations with a name.
    pub(crate) named: [u64; 2],
    /// Packets that get an annotation: a name, or the first one of its flow and direction.
    pub(crate) annotated: u64,
    pub(crate) flows: u64,
    pub(crate) rows: u64,
    /// Bytes of the capture.
    pub(crate) bytes: u64,
    /// Bytes of the packets as they were on the wire.
    pub(crate) wire_bytes: u64,
}

impl Truth {
    const KEYS: [&str; 8] =
        ["packets", "src", "dst", "annotated", "flows", "rows", "bytes", "wire_bytes"];

    fn numbers(&mut self) -> [&mut u64; 8] {
        let [src, dst] = &mut self.named;
        let Self { packets, annotated, flows, rows, bytes, wire_bytes, .. } = self;
        [packets, src, dst, annotated, flows, rows, bytes, wire_bytes]
    }

    /// As JSON, with the version of the generator.
    pub(crate) fn to_json(&self) -> Value {
        let mut copy = self.clone();
        let pairs = Self::KEYS.iter().zip(copy.numbers());
        let mut value: Value = pairs.map(|(key, n)| ((*key).to_owned(), json!(*n))).collect();
        value["version"] = json!(VERSION);
        value
    }

    /// Back from JSON; `None` if another version of the generator wrote it.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let mut truth = Self::default();
        for (key, number) in Self::KEYS.iter().zip(truth.numbers()) {
            *number = value[*key].as_u64()?;
        }
        (value["version"] == VERSION).then_some(truth)
    }
}

/// A flow that goes on.
#[derive(Clone, Copy)]
struct Active {
    number: u64,
    step: u64,
    length: u64,
    /// What client and server send next.
    seq: [u32; 2],
    /// Who sent already.
    has_sent: [bool; 2],
}

struct Traffic<'a> {
    shape: &'a Shape,
    random: Random,
    flows: u64,
    rows: Vec<Row>,
    truth: Truth,
}

/// Writes `capture.pcapng` and `events.parquet`.
pub(crate) fn write(folder: &Path, shape: &Shape) -> Truth {
    let file = File::create(folder.join("capture.pcapng")).expect("capture");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&frame::prelude(HOST, shape.snap)).expect("written");
    let noise: Vec<u8> = (0..NOISE as u64).map(|n| mix(n) as u8).collect();
    let mut traffic =
        Traffic { shape, random: Random::new(7), flows: 0, rows: vec![], truth: Truth::default() };
    let at_once = (shape.packets / shape.spread).max(1);
    let mut active: Vec<Active> = (0..at_once).map(|_| traffic.begin()).collect();
    for flow in &mut active {
        traffic.skip_into(flow);
    }
    let (mut ns, mut left) = (START_NS, shape.packets);
    let mut block = vec![];
    // When a handshake must go on: time, place, and where it is now.
    let mut handshakes: VecDeque<(u64, usize, u64, u64)> = VecDeque::new();
    while left > 0 {
        let due = handshakes.pop_front_if(|&mut (due, ..)| due <= ns);
        let (place, packets) = match due {
            // It has gone on by itself.
            Some((_, place, number, step))
                if (active[place].number, active[place].step) != (number, step) =>
            {
                continue;
            }
            Some((_, place, ..)) => (place, 1),
            None => {
                // Some flows are busier than others.
                let place = (traffic.random.fraction().powi(2) * at_once as f64) as usize;
                (place, 1 + traffic.random.geometric(shape.burst))
            }
        };
        for _ in 0..packets.min(left) {
            ns += 1 + traffic.random.below(2 * GAP_NS);
            let flow = &mut active[place];
            let packet = traffic.step(flow, ns);
            block.clear();
            frame::write_block(&mut block, &packet, ns, shape.snap, &noise);
            out.write_all(&block).expect("written");
            left -= 1;
            if flow.step == flow.length {
                *flow = traffic.begin();
            } else if packet.tcp.is_some() && flow.step <= 2 {
                handshakes.push_back((ns + HANDSHAKE_NS, place, flow.number, flow.step));
            }
        }
    }
    out.flush().expect("flushed");
    // The recording goes on: a handshake that the capture's end cut is completed.
    for flow in active.iter().filter(|flow| (1..=2).contains(&flow.step)) {
        let number = flow.number;
        traffic.note(&Flow::new(number, shape.named), number, What::Accepted, ns + GAP_NS);
    }
    let Traffic { mut truth, rows, flows, .. } = traffic;
    truth.packets = shape.packets;
    truth.flows = flows;
    truth.bytes = out.get_ref().metadata().expect("capture").len();
    let path = folder.join("events.parquet");
    truth.rows = recording::write(&path, rows, shape.named, START_NS, ns);
    truth
}

impl Traffic<'_> {
    fn begin(&mut self) -> Active {
        let number = self.flows;
        self.flows += 1;
        assert!(number < flow::MOST, "at most {} flows; ask for fewer packets", flow::MOST);
        let is_tcp = Flow::new(number, self.shape.named).is_tcp;
        // A few are long, most are short.
        let least = if is_tcp { 4 } else { 1 };
        let mean = (self.shape.flow - f64::from(least)).max(0.5);
        let mean = if self.random.below(10) == 0 { 5.0 * mean } else { mean * 5.0 / 9.0 };
        let length = u64::from(least as u32) + self.random.geometric(mean);
        let seq = [self.random.next() as u32, self.random.next() as u32];
        Active { number, step: 0, length, seq, has_sent: [false; 2] }
    }

    /// Brings a flow to where it is when the capture begins: the recorder finds the socket.
    fn skip_into(&mut self, active: &mut Active) {
        active.step = self.random.below(active.length);
        let flow = Flow::new(active.number, self.shape.named);
        if flow.is_tcp && (1..=2).contains(&active.step) {
            // A socket that was found has its handshake behind it.
            active.step = 3;
        }
        if active.step > 0 {
            self.note(&flow, active.number, What::Found, START_NS);
        }
    }

    /// The next packet of a flow, and the events around it.
    fn step(&mut self, active: &mut Active, ns: u64) -> Packet {
        let flow = Flow::new(active.number, self.shape.named);
        let Active { number, step, length, .. } = *active;
        let is_last = step + 1 == length;
        let mut size =
            self.shape.lengths[self.random.below(self.shape.lengths.len() as u64) as usize];
        let mut sender = usize::from(self.random.below(5) < 3);
        let mut flags = ACK | PSH;
        match step {
            // The client begins; a server that answers nothing is one of UDP.
            0 => (sender, flags) = (0, SYN),
            1 if flow.is_tcp => (sender, flags) = (1, SYN | ACK),
            2 if flow.is_tcp && length > 5 => (sender, flags) = (0, ACK),
            _ if is_last => (sender, flags) = (1, FIN | ACK),
            _ if step + 2 == length && length > 5 => (sender, flags) = (0, FIN | ACK),
            _ => {}
        }
        if flow.is_tcp && flags != ACK | PSH {
            size = 0;
        } else if !flow.is_tcp && is_last && step > 0 {
            sender = 1;
        }
        if step == 0 {
            self.note(&flow, number, What::Begin, ns);
        } else if step == 1 && flow.is_tcp {
            self.note(&flow, number, What::Established, ns);
        } else if step == 2 && flow.is_tcp {
            self.note(&flow, number, What::Accepted, ns);
        }
        if is_last {
            self.note(&flow, number, What::End, ns);
        }
        let headers =
            if flow.ends[0].is_ipv6() { 54 } else { 34 } + if flow.is_tcp { 20 } else { 8 };
        let packet = Packet {
            src: flow.ends[sender],
            dst: flow.ends[1 - sender],
            tcp: flow.is_tcp.then_some((flags, active.seq[sender], active.seq[1 - sender])),
            length: size.max(headers),
        };
        let moved = packet.payload() as u32 + u32::from(flags & (SYN | FIN) != 0);
        active.seq[sender] = active.seq[sender].wrapping_add(moved);
        self.count(&flow, sender, &packet, !active.has_sent[sender]);
        active.has_sent[sender] = true;
        active.step += 1;
        packet
    }

    fn count(&mut self, flow: &Flow, sender: usize, packet: &Packet, is_first: bool) {
        let near = flow.is_near();
        let names = [near[sender], near[1 - sender]].map(|is_near| is_near && flow.is_named);
        for (count, has_name) in self.truth.named.iter_mut().zip(names) {
            *count += u64::from(has_name);
        }
        self.truth.annotated += u64::from(names != [false; 2] || is_first);
        self.truth.wire_bytes += u64::from(packet.length);
    }

    fn note(&mut self, flow: &Flow, number: u64, what: What, ns: u64) {
        for (end, is_near) in flow.is_near().into_iter().enumerate() {
            if is_near && let Some(row) = Row::new(flow, number, what, end, ns) {
                self.rows.push(row);
            }
        }
    }
}
