//! One interface, opened for capture.

use std::fs;

use pcap::{Active, Capture, Linktype, Precision};
use pcap_file::{
    DataLink,
    pcapng::blocks::interface_description::{
        InterfaceDescriptionBlock, InterfaceDescriptionOption,
    },
};

use super::CaptureError;
use crate::{
    config::PacketsConfig,
    host::Host,
    interfaces::{self, Link},
};

/// Milliseconds after which the kernel hands over a buffer that is not full. Also how long a
/// packet can be on its way when the recording stops.
pub(super) const BLOCK_TIMEOUT_MS: i32 = 100;
/// Kernel buffer of an interface, bytes: a quarter of a second at 1 Gbit/s, while the disk is
/// busy.
const BUFFER_BYTES: i32 = 32 << 20;
/// `LINKTYPE_LINUX_SLL2`: unlike the first version it says which interface a packet was on.
const LINUX_SLL2: i32 = 276;
/// The pseudo-interface for all interfaces.
const ANY: &str = "any";

/// One interface, opened.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) capture: Capture<Active>,
    link: Option<Link>,
}

impl Device {
    /// Opens the interface `name`; from now on the kernel buffers its packets.
    pub(super) fn open(name: &str, config: &PacketsConfig) -> Result<Self, CaptureError> {
        let links = interfaces::links().unwrap_or_default();
        let link = links.iter().find(|link| link.name == name).cloned();
        // An interface need not support promiscuous mode, and `any` never does.
        let capture = activate(name, config, name != ANY)
            .or_else(|_| activate(name, config, false))
            .map_err(|error| open_error(name, &error, link.is_some(), &links))?;
        let mut capture = capture;
        if name == ANY {
            // Not known to an old libpcap; then it stays version 1.
            let _ = capture.set_datalink(Linktype(LINUX_SLL2));
        }
        if let Some(filter) = &config.filter {
            capture.filter(filter, true).map_err(|error| CaptureError::Filter {
                filter: filter.clone(),
                name: name.to_owned(),
                reason: reason(&error),
            })?;
        }
        let capture = capture.setnonblock().map_err(|error| CaptureError::Interface {
            name: name.to_owned(),
            reason: reason(&error),
        })?;
        Ok(Self { name: name.to_owned(), capture, link })
    }

    /// The block that describes the interface in the file.
    pub(super) fn describe(
        &self,
        config: &PacketsConfig,
        host: &Host,
    ) -> InterfaceDescriptionBlock<'static> {
        use InterfaceDescriptionOption as Opt;
        let mut options = vec![Opt::IfName(self.name.clone().into())];
        if let Some(mac) = self.link.as_ref().and_then(|link| parse_mac(link.mac.as_deref()?)) {
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
        if let Some(driver) = driver(&self.name) {
            options.push(Opt::IfHardware(driver.into()));
        }
        InterfaceDescriptionBlock {
            linktype: DataLink::from(link_type(self.capture.get_datalink())),
            snaplen: config.snaplen,
            options,
        }
    }
}

fn activate(
    name: &str,
    config: &PacketsConfig,
    promiscuous: bool,
) -> Result<Capture<Active>, pcap::Error> {
    Capture::from_device(name)?
        .promisc(promiscuous)
        .snaplen(i32::try_from(config.snaplen).unwrap_or(i32::MAX))
        .timeout(BLOCK_TIMEOUT_MS)
        .buffer_size(BUFFER_BYTES)
        .precision(Precision::Nano)
        .open()
}

fn open_error(name: &str, error: &pcap::Error, exists: bool, links: &[Link]) -> CaptureError {
    let reason = reason(error);
    if !rustix::process::geteuid().is_root()
        && (reason.contains("ermi") || reason.contains("CAP_NET_RAW"))
    {
        return CaptureError::NoPrivilege;
    }
    if exists || name == ANY {
        return CaptureError::Interface { name: name.to_owned(), reason };
    }
    let mut known = vec![ANY];
    for link in links {
        if !known.contains(&link.name.as_str()) {
            known.push(&link.name);
        }
    }
    CaptureError::UnknownInterface { name: name.to_owned(), known: known.join(", ") }
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
    fn hardware_addresses_become_bytes() {
        assert_eq!(parse_mac("02:00:00:00:00:fe"), Some(vec![2, 0, 0, 0, 0, 0xfe]));
        assert_eq!(parse_mac("zz"), None);
    }
}
