//! The pcapng file (draft-ietf-opsawg-pcapng): section header, a description per interface, the
//! packets, a statistics block per interface.

use std::{
    borrow::Cow,
    fs,
    io::{self, BufWriter, Write as _},
    time::{Duration, Instant},
};

use pcap_file::{
    Endianness, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::InterfaceDescriptionBlock,
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use super::{
    CaptureError, Counts,
    reader::{Outcome, Packet},
};
use crate::{
    host::Host,
    output::{OutputError, PartialFile, Reserve, Room},
    rotate::{Finisher, Series},
};

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// Room kept for the statistics blocks: about a hundred bytes for each interface.
const MARGIN: u64 = 64 << 10;

/// How long packets stay in memory: what is older survives a crash.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// The first file, created, with nothing in it: whatever can be refused is refused before anything
/// is captured.
#[derive(Debug)]
pub struct FirstPackets {
    series: Series,
    file: PartialFile,
    /// Room on the disk to begin with.
    reserve: Reserve,
}

impl FirstPackets {
    /// Creates it.
    ///
    /// # Errors
    /// [`OutputError`]
    pub fn create(mut series: Series) -> Result<Self, OutputError> {
        let file = series.create()?;
        let reserve = file.reserve(MARGIN)?;
        Ok(Self { series, file, reserve })
    }
}

/// The file being written, or the part of it.
pub(super) struct PacketFile {
    part: Part,
    series: Series,
    host: Host,
    interfaces: Vec<InterfaceDescriptionBlock<'static>>,
    /// The part before, on its way to the disk.
    finishing: Finisher<u64, CaptureError>,
    /// Bytes of the parts before: about, and what those have that got their names.
    earlier: u64,
    finished: u64,
}

struct Part {
    writer: PcapNgWriter<BufWriter<PartialFile>>,
    reserve: Reserve,
    bytes: u64,
    begun: Instant,
    begun_ns: u64,
    /// Since when something waits in memory.
    unwritten: Option<Instant>,
    /// Packets of each interface.
    packets: Vec<u64>,
    /// What the kernel had counted of each interface when the part began.
    before: Vec<[u64; 3]>,
}

impl PacketFile {
    /// Writes the section header and the interfaces.
    pub(super) fn begin(
        first: FirstPackets,
        host: &Host,
        interfaces: Vec<InterfaceDescriptionBlock<'static>>,
    ) -> Result<Self, CaptureError> {
        let before = vec![[0; 3]; interfaces.len()];
        let part = Part::begin((first.file, first.reserve), host, &interfaces, before)?;
        let (host, finishing) = (host.clone(), Finisher::default());
        Ok(Self {
            part,
            series: first.series,
            host,
            interfaces,
            finishing,
            earlier: 0,
            finished: 0,
        })
    }

    /// Number of interfaces.
    pub(super) fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// Bytes written so far, about, all parts together.
    pub(super) fn bytes(&self) -> u64 {
        self.earlier + self.part.bytes
    }

    /// Sees to it that `more` bytes and the end of the file fit on the disk.
    pub(super) fn make_room(&mut self, more: usize) -> io::Result<Room> {
        self.part.reserve.up_to(self.part.bytes + more as u64 + MARGIN)
    }

    /// Writes a packet.
    pub(super) fn write(
        &mut self,
        interface: usize,
        packet: Packet,
        data: &[u8],
    ) -> io::Result<()> {
        let block = EnhancedPacketBlock {
            interface_id: u32::try_from(interface).unwrap_or(u32::MAX),
            timestamp: Duration::from_nanos(packet.time_ns),
            original_len: packet.original,
            data: Cow::Borrowed(data),
            options: vec![],
        };
        let part = &mut self.part;
        part.bytes += part.writer.write_pcapng_block(block).map_err(io_error)? as u64;
        part.packets[interface] += 1;
        part.unwritten.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// How long until what is in memory is to be written, if anything is.
    pub(super) fn next_flush(&self, now: Instant) -> Option<Duration> {
        let since = self.part.unwritten?;
        Some((since + FLUSH_EVERY).saturating_duration_since(now))
    }

    /// Writes what is in memory, if it is time.
    pub(super) fn flush_if_due(&mut self, now: Instant) -> io::Result<()> {
        if self.next_flush(now).is_some_and(|wait| wait.is_zero()) {
            self.part.writer.get_mut().flush()?;
            self.part.unwritten = None;
        }
        Ok(())
    }

    /// Whether the next packet belongs to the next part. One without packets goes on.
    pub(super) fn is_part_over(&self) -> bool {
        let Part { bytes, begun, packets, .. } = &self.part;
        let rotation = self.series.rotation();
        rotation.is_on()
            && packets.iter().any(|&packets| packets > 0)
            && rotation.is_due(*bytes, begun.elapsed())
    }

    /// Ends the part and begins the next. `counts` is what the kernel counted of each interface.
    pub(super) fn next_part(&mut self, counts: &[Counts]) -> Result<(), CaptureError> {
        let file = self.series.create()?;
        let reserve = file.reserve(MARGIN)?;
        let now: Vec<_> = counts.iter().map(Counts::load).collect();
        let next = Part::begin((file, reserve), &self.host, &self.interfaces, now.clone())?;
        let end_ns = next.begun_ns;
        let part = std::mem::replace(&mut self.part, next);
        let begun_ns = part.begun_ns;
        self.earlier += part.bytes;
        let outcomes = now.into_iter().map(|[received, dropped, interface_dropped]| {
            let span_ns = (begun_ns, end_ns);
            Outcome { span_ns, received, dropped, interface_dropped, ..Outcome::default() }
        });
        let file = part.end(&outcomes.collect::<Vec<_>>())?;
        let series = self.series.clone();
        let before = self.finishing.start(move || {
            let bytes = file.finish()?;
            series.prune()?;
            Ok(bytes)
        })?;
        self.finished += before.unwrap_or(0);
        Ok(())
    }

    /// Writes the statistics and gives the file its name. Returns the size of all parts, and how
    /// many there are.
    pub(super) fn finish(mut self, outcomes: &[Outcome]) -> Result<(u64, u32), CaptureError> {
        // The name is worth more than the order of the errors.
        let last = self.part.end(outcomes).and_then(|file| Ok(file.finish()?));
        let before = self.finishing.settle()?.unwrap_or(0);
        let bytes = self.finished + before + last?;
        self.series.prune()?;
        Ok((bytes, self.series.part()))
    }
}

impl Part {
    fn begin(
        (file, reserve): (PartialFile, Reserve),
        host: &Host,
        interfaces: &[InterfaceDescriptionBlock<'static>],
        before: Vec<[u64; 3]>,
    ) -> Result<Self, CaptureError> {
        let header = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![
                // Lets the reader tell which recording of events belongs to the packets.
                SectionHeaderOption::Comment(
                    format!("ebpfrec host={} boot_id={}", host.name, host.boot_id).into(),
                ),
                SectionHeaderOption::Hardware(hardware(host).into()),
                SectionHeaderOption::OS(format!("Linux {}", host.kernel).into()),
                SectionHeaderOption::UserApplication(
                    concat!("ebpfrec ", env!("CARGO_PKG_VERSION")).into(),
                ),
            ],
            ..SectionHeaderBlock::default()
        };
        let begin = || -> Result<Self, PcapError> {
            let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
            let mut writer = PcapNgWriter::with_section_header(buffered, header)?;
            // A generous count of the header: sizes of blocks are known, that of the header not.
            let mut bytes = 4096;
            for interface in interfaces {
                bytes += writer.write_pcapng_block(interface.clone())? as u64;
            }
            writer.get_mut().flush().map_err(PcapError::IoError)?;
            Ok(Self {
                writer,
                reserve,
                bytes,
                begun: Instant::now(),
                begun_ns: crate::clock::Sample::now().wall_ns().unsigned_abs(),
                unwritten: None,
                packets: vec![0; interfaces.len()],
                before,
            })
        };
        begin().map_err(|error| CaptureError::Write { source: io_error(error) })
    }

    /// Writes the statistics: of `outcomes`, what is of this part.
    fn end(mut self, outcomes: &[Outcome]) -> Result<PartialFile, CaptureError> {
        for (interface, outcome) in outcomes.iter().enumerate() {
            let [received, dropped, interface_dropped] = self.before[interface];
            let own = Outcome {
                span_ns: (self.begun_ns.max(outcome.span_ns.0), outcome.span_ns.1),
                received: outcome.received.saturating_sub(received),
                packets: self.packets[interface],
                dropped: outcome.dropped.saturating_sub(dropped),
                interface_dropped: outcome.interface_dropped.saturating_sub(interface_dropped),
                ended: None,
            };
            let block = statistics(u32::try_from(interface).unwrap_or(u32::MAX), &own);
            self.writer
                .write_pcapng_block(block)
                .map_err(|error| CaptureError::Write { source: io_error(error) })?;
        }
        let mut buffered = self.writer.into_inner();
        buffered.flush()?;
        Ok(buffered.into_inner().map_err(io::IntoInnerError::into_error)?)
    }
}

fn statistics(interface_id: u32, outcome: &Outcome) -> InterfaceStatisticsBlock<'static> {
    use InterfaceStatisticsOption as Opt;
    let (start_ns, end_ns) = outcome.span_ns;
    InterfaceStatisticsBlock {
        interface_id,
        timestamp: split_time(end_ns),
        options: vec![
            Opt::IsbStartTime(split_time(start_ns)),
            Opt::IsbEndTime(split_time(end_ns)),
            Opt::IsbIfRecv(outcome.received),
            Opt::IsbIfDrop(outcome.interface_dropped),
            Opt::IsbOsDrop(outcome.dropped),
            Opt::IsbUsrDeliv(outcome.packets),
        ],
    }
}

/// A time is two words, the upper one first, each in the byte order of the section; the library
/// writes it as one number.
fn split_time(time_ns: u64) -> u64 {
    if cfg!(target_endian = "little") { time_ns.rotate_left(32) } else { time_ns }
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Name of the processor, else its architecture.
fn hardware(host: &Host) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(':')));
    match model {
        Some((_, name)) => format!("{} ({})", name.trim(), host.machine),
        None => host.machine.clone(),
    }
}
