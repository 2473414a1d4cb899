//! The pcapng file (draft-ietf-opsawg-pcapng): section header, a description per interface, the
//! packets, a statistics block per interface.

use std::{
    borrow::Cow,
    fs,
    io::{self, BufWriter, Write as _},
    time::Duration,
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
    CaptureError,
    reader::{Outcome, Packet},
};
use crate::{
    host::Host,
    output::{OutputError, PartialFile, Reserve, Room},
};

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// Room kept for the statistics blocks: about a hundred bytes for each interface.
const MARGIN: u64 = 64 << 10;

/// The file being written.
pub(super) struct PacketFile {
    writer: PcapNgWriter<BufWriter<PartialFile>>,
    reserve: Reserve,
    interfaces: usize,
    bytes: u64,
}

impl PacketFile {
    /// Writes the section header and the interfaces.
    pub(super) fn begin(
        file: PartialFile,
        host: &Host,
        interfaces: Vec<InterfaceDescriptionBlock<'static>>,
    ) -> Result<Self, CaptureError> {
        let reserve = file.reserve(MARGIN)?;
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
            let count = interfaces.len();
            for interface in interfaces {
                bytes += writer.write_pcapng_block(interface)? as u64;
            }
            Ok(Self { writer, reserve, interfaces: count, bytes })
        };
        begin().map_err(|error| CaptureError::Write { source: io_error(error) })
    }

    /// Number of interfaces.
    pub(super) fn interfaces(&self) -> usize {
        self.interfaces
    }

    /// Bytes written so far, about.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sees to it that `more` bytes and the end of the file fit on the disk.
    pub(super) fn make_room(&mut self, more: usize) -> io::Result<Room> {
        self.reserve.up_to(self.bytes + more as u64 + MARGIN)
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
        self.bytes += self.writer.write_pcapng_block(block).map_err(io_error)? as u64;
        Ok(())
    }

    /// Writes the statistics and gives the file its name. Returns the size.
    pub(super) fn finish(mut self, outcomes: &[Outcome]) -> Result<u64, CaptureError> {
        for (interface, outcome) in outcomes.iter().enumerate() {
            let block = statistics(u32::try_from(interface).unwrap_or(u32::MAX), outcome);
            self.writer
                .write_pcapng_block(block)
                .map_err(|error| CaptureError::Write { source: io_error(error) })?;
        }
        let mut buffered = self.writer.into_inner();
        buffered.flush().map_err(|source| CaptureError::Write { source })?;
        let file = buffered
            .into_inner()
            .map_err(|error| CaptureError::Write { source: error.into_error() })?;
        file.finish().map_err(|error: OutputError| CaptureError::Output(error))
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
