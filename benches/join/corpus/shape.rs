//! What kinds of traffic there are.

/// One kind of traffic.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Packets, unless told otherwise: a second of the joiner's work and more, so that starting it
    /// does not count.
    pub(crate) packets: u64,
    /// Lengths of frames that carry data, as often as they stand here.
    pub(super) lengths: &'static [u16],
    /// Bytes of a frame that are captured.
    pub(super) snap: u16,
    /// Packets of a flow, in the mean.
    pub(super) flow: f64,
    /// Of so many packets, one flow goes on at the same time as the others.
    pub(super) spread: u64,
    /// Packets that a flow sends in a row, in the mean, beyond the first one.
    pub(super) burst: f64,
    /// Flows that are recorded, of a hundred.
    pub(super) named: u64,
}

/// Frames of 740 bytes in the mean, handshakes and ends of TCP included.
const IMIX: &[u16] = &[
    64, 64, 64, 64, 64, 64, 576, 576, 576, 576, 576, 576, 576, 1500, 1500, 1500, 1500, 1500, 1500,
    1500, 1500, 1500,
];
const SMALL: &[u16] = &[60, 62, 64, 66, 70, 74, 78, 82, 86, 90];

const BASE: Shape = Shape {
    name: "imix",
    packets: 4_000_000,
    lengths: IMIX,
    snap: u16::MAX,
    flow: 40.0,
    spread: 400,
    burst: 1.0,
    named: 100,
};

/// Every kind, in the order of measuring.
pub(crate) const SHAPES: &[Shape] = &[
    BASE,
    Shape { name: "small", packets: 4_500_000, lengths: SMALL, ..BASE },
    Shape { name: "snap128", snap: 128, ..BASE },
    Shape {
        name: "flows",
        packets: 4_500_000,
        lengths: SMALL,
        flow: 4.0,
        spread: 12,
        burst: 0.0,
        ..BASE
    },
    Shape { name: "small-50", packets: 4_500_000, lengths: SMALL, named: 50, ..BASE },
    Shape { name: "small-0", packets: 4_500_000, lengths: SMALL, named: 0, ..BASE },
];

impl Shape {
    /// The kind of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// More or less of the same traffic.
    pub(crate) fn with_packets(&self, packets: u64) -> Self {
        Self { packets, ..*self }
    }

    /// The same traffic in flows so much longer: more packets by no more events.
    pub(crate) fn stretched(&self, times: u64) -> Self {
        let (flow, spread) = (self.flow * times as f64, self.spread * times);
        Self { packets: self.packets * times, flow, spread, ..*self }
    }
}
