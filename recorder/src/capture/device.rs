//! One interface, opened for capture.

use std::{fs, os::fd::AsRawFd as _};

use pcap::{Active, Capture, Linktype, Precision};
use pcap_file::{
    DataLink,
    pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    },
};

use super::{
    CaptureError,
    place::{ANY, Source},
};
use crate::{config::PacketsConfig, host::Host, namespaces::Namespace};

/// Milliseconds after which the kernel hands over a buffer that is not full. Also how long a
/// packet can be on its way when the recording stops.
pub(super) const BLOCK_TIMEOUT_MS: i32 = 100;
/// Kernel buffer of an interface, bytes: a quarter of a second at 1 Gbit/s, while the disk is
/// busy.
const BUFFER_BYTES: usize = 32 << 20;
/// The same of all interfaces together: many are rarely all busy at once.
const ALL_BUFFERS_BYTES: usize = 128 << 20;
/// What every namespace's loopback is called.
const LOOPBACK: &str = "lo";
/// packet(7)
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// `LINKTYPE_LINUX_SLL2`: unlike the first version it says which interface a packet was on.
const LINUX_SLL2: i32 = 276;

/// Bytes of kernel buffer for each of so many interfaces.
pub(super) fn buffer_bytes(interfaces: usize) -> i32 {
    let share = ALL_BUFFERS_BYTES / interfaces.max(1);
    i32::try_from(share.min(BUFFER_BYTES)).unwrap_or(i32::MAX)
}

/// One interface, opened.
pub(super) struct Device {
    pub(super) capture: Capture<Active>,
    pub(super) source: Source,
}

impl Device {
    /// Opens the interface; from now on the kernel buffers its packets, in `buffer` bytes. Takes
    /// `CAP_NET_RAW`, and in another namespace `CAP_SYS_ADMIN`, both over that namespace. The
    /// socket stays in the namespace and keeps it alive.
    pub(super) fn open(
        source: Source,
        config: &PacketsConfig,
        buffer: i32,
    ) -> Result<Self, CaptureError> {
        let capture = match &source.inside {
            None => open_here(&source, config, buffer)?,
            Some(inside) => Namespace::open_same(&inside.path, inside.inode)
                .and_then(|namespace| namespace.run(|| open_here(&source, config, buffer)))
                .map_err(|error| CaptureError::Interface {
                    name: source.label.clone(),
                    reason: format!("cannot enter its network namespace: {error}"),
                })??,
        };
        Ok(Self { capture, source })
    }

    /// The block that describes the interface in the file.
    pub(super) fn describe(
        &self,
        config: &PacketsConfig,
        host: &Host,
    ) -> InterfaceDescriptionBlock<'static> {
        use InterfaceDescriptionOption as Opt;
        let source = &self.source;
        let mut options = vec![Opt::IfName(source.name.clone().into())];
        if let Some(description) = &source.description {
            options.push(Opt::IfDescription(description.clone().into()));
        }
        // The name alone says little: every container has its eth0.
        let index = source.link.as_ref().map_or(0, |link| link.index);
        if let Some(netns) = source.netns {
            options.push(Opt::Comment(format!("ebpfrec netns={netns} ifindex={index}").into()));
        }
        if let Some(mac) = source.link.as_ref().and_then(|link| parse_mac(link.mac.as_deref()?)) {
            options.push(Opt::IfMacAddr(mac.into()));
        }
        // Units of 10^-9 seconds.
        options.push(Opt::IfTsResol(9));
        if let Some(filter) = &config.filter {
            // The first byte says what follows: 0 is libpcap's language.
            let mut value = vec![0];
            value.extend(filter.bytes());
            options.push(Opt::IfFilter(value.into()));
        }
        options.push(Opt::IfOs(format!("Linux {}", host.kernel).into()));
        // /sys shows the interfaces of our own namespace.
        if let Some(driver) = driver(&source.name).filter(|_| source.inside.is_none()) {
            options.push(Opt::IfHardware(driver.into()));
        }
        InterfaceDescriptionBlock {
            linktype: DataLink::from(link_type(self.capture.get_datalink())),
            snaplen: config.snaplen,
            options,
        }
    }
}

/// Opens an interface of this thread's namespace.
fn open_here(
    source: &Source,
    config: &PacketsConfig,
    buffer: i32,
) -> Result<Capture<Active>, CaptureError> {
    let name = source.name.as_str();
    // An interface need not support promiscuous mode, and `any` never does.
    let mut capture = activate(name, config, buffer, name != ANY)
        .or_else(|_| activate(name, config, buffer, false))
        .map_err(|error| open_error(&source.label, &error))?;
    if name == ANY {
        // Not known to an old libpcap; then it stays version 1.
        let _ = capture.set_datalink(Linktype(LINUX_SLL2));
    }
    if let Some(filter) = &config.filter {
        capture.filter(filter, true).map_err(|error| CaptureError::Filter {
            filter: filter.clone(),
            name: source.label.clone(),
            reason: reason(&error),
        })?;
    }
    if name == LOOPBACK {
        ignore_outgoing(&capture);
    }
    capture.setnonblock().map_err(|error| open_error(&source.label, &error))
}

/// Of loopback the kernel hands over every packet twice, on its way out and in, of which libpcap drops
/// one. But the kernel counts both, as received and as dropped, and has room for half as many. Where it
/// can't (before Linux 4.20) it stays so.
#[expect(unsafe_code, reason = "no crate offers the option")]
fn ignore_outgoing(capture: &Capture<Active>) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the socket is the capture's, and the value is read while it lives.
    let _ = unsafe {
        libc::setsockopt(
            capture.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            length,
        )
    };
}

fn activate(
    name: &str,
    config: &PacketsConfig,
    buffer: i32,
    promiscuous: bool,
) -> Result<Capture<Active>, pcap::Error> {
    Capture::from_device(name)?
        .promisc(promiscuous)
        .snaplen(i32::try_from(config.snaplen).unwrap_or(i32::MAX))
        .timeout(BLOCK_TIMEOUT_MS)
        .buffer_size(buffer)
        .precision(Precision::Nano)
        .open()
}

fn open_error(label: &str, error: &pcap::Error) -> CaptureError {
    let reason = reason(error);
    if !rustix::process::geteuid().is_root()
        && (reason.contains("ermi") || reason.contains("CAP_NET_RAW"))
    {
        return CaptureError::NoPrivilege;
    }
    CaptureError::Interface { name: label.to_owned(), reason }
}

/// What libpcap said, without the name of the enum around it.
pub(super) fn reason(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

/// From libpcap's numbers, some of which differ between systems, to those in files
/// (<https://www.tcpdump.org/linktypes.html>).
fn link_type(dlt: Linktype) -> u32 {
    match dlt.0 {
        // DLT_ATM_RFC1483 and DLT_RAW on Linux.
        11 => 100,
        12 => 101,
        same => u32::try_from(same).unwrap_or(0),
    }
}

fn parse_mac(text: &str) -> Option<Vec<u8>> {
    text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

/// The driver of the interface's hardware, if it has any.
fn driver(name: &str) -> Option<String> {
    // A name with a slash is none of an interface, and would lead elsewhere.
    if name.contains('/') {
        return None;
    }
    let link = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_types_are_those_of_files() {
        for (dlt, want) in [(1, 1), (12, 101), (113, 113), (276, 276), (0, 0)] {
            assert_eq!(link_type(Linktype(dlt)), want);
        }
    }

    #[test]
    fn many_interfaces_share_what_a_few_have_for_themselves() {
        assert_eq!(buffer_bytes(1), 32 << 20);
        assert_eq!(buffer_bytes(4), 32 << 20);
        assert_eq!(buffer_bytes(64), 2 << 20);
    }

    #[test]
    fn hardware_addresses_become_bytes() {
        assert_eq!(parse_mac("02:00:00:00:00:fe"), Some(vec![2, 0, 0, 0, 0, 0xfe]));
        assert_eq!(parse_mac("zz"), None);
    }
}
