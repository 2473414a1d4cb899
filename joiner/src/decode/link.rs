//! Link layers: from the captured bytes to the IP packet in them, one module for each family.

use super::Undecoded;
use super::bytes::{after, array_at, u16_at};

pub(super) mod ethernet;
mod family;
mod nflog;
pub(super) mod ppp;
mod wifi;
mod wrapped;

/// A value of the registry of link types (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    const NULL: Self = Self(0);
    pub(super) const ETHERNET: Self = Self(1);
    const PPP: Self = Self(9);
    const RAW_BSD: Self = Self(12);
    const RAW_OPENBSD: Self = Self(14);
    const PPP_HDLC: Self = Self(50);
    const PPP_ETHER: Self = Self(51);
    pub(super) const RAW: Self = Self(101);
    const C_HDLC: Self = Self(104);
    const IEEE802_11: Self = Self(105);
    const LOOP: Self = Self(108);
    const ENC: Self = Self(109);
    pub(super) const LINUX_SLL: Self = Self(113);
    const IEEE802_11_RADIOTAP: Self = Self(127);
    const PPP_PPPD: Self = Self(166);
    const PPI: Self = Self(192);
    const PPP_WITH_DIR: Self = Self(204);
    const IPV4: Self = Self(228);
    const IPV6: Self = Self(229);
    const NFLOG: Self = Self(239);
    const PKTAP: Self = Self(258);
    pub(super) const LINUX_SLL2: Self = Self(276);
}

/// The IP packet in a captured frame.
#[inline]
pub(super) fn payload(link: LinkType, bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match link {
        LinkType::ETHERNET => ethernet::frame(bytes),
        LinkType::LINUX_SLL => ethernet::payload(u16_at(bytes, 14)?, after(bytes, 16)?),
        LinkType::LINUX_SLL2 => ethernet::payload(u16_at(bytes, 0)?, after(bytes, 20)?),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => Ok(bytes),
        LinkType::IPV4 | LinkType::IPV6 => Ok(bytes),
        _ => rare(link, bytes),
    }
}

/// Kept out of the way of the others.
#[inline(never)]
fn rare(link: LinkType, bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match link {
        LinkType::NULL | LinkType::LOOP => family::payload(bytes),
        LinkType::ENC => family::decrypted(bytes),
        LinkType::PPP | LinkType::PPP_HDLC => ppp::frame(bytes),
        // A byte that tells the direction stands where HDLC has its address, or before it.
        LinkType::PPP_PPPD => ppp::frame_without_address(bytes),
        LinkType::PPP_WITH_DIR => ppp::frame(after(bytes, 1)?),
        LinkType::PPP_ETHER => ppp::session(bytes),
        LinkType::C_HDLC => ethernet::payload(u16_at(bytes, 2)?, after(bytes, 4)?),
        LinkType::IEEE802_11 => wifi::frame(bytes),
        LinkType::IEEE802_11_RADIOTAP => wifi::radiotap(bytes),
        LinkType::NFLOG => nflog::payload(bytes),
        LinkType::PPI | LinkType::PKTAP => {
            let unwrap = if link == LinkType::PPI { wrapped::ppi } else { wrapped::pktap };
            match unwrap(bytes)? {
                (LinkType::PPI | LinkType::PKTAP, _) => Err(Undecoded::Malformed),
                (inner, frame) => payload(inner, frame),
            }
        }
        _ => Err(Undecoded::NotIp),
    }
}

/// Bytes 4 to 7 of a Linux cooked v2 header.
pub(super) fn interface_index(link: LinkType, bytes: &[u8]) -> Option<u32> {
    (link == LinkType::LINUX_SLL2).then(|| array_at(bytes, 4).ok().map(u32::from_be_bytes))?
}
