//! Link layers: from the captured bytes to the IP packet in them. Ethernet with any VLAN tags,
//! Linux cooked v1 and v2, raw IP, null and loop.

use super::Undecoded;

/// A value of the registry of link types (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    const NULL: Self = Self(0);
    const ETHERNET: Self = Self(1);
    const RAW_BSD: Self = Self(12);
    const RAW_OPENBSD: Self = Self(14);
    const RAW: Self = Self(101);
    const LOOP: Self = Self(108);
    const LINUX_SLL: Self = Self(113);
    const IPV4: Self = Self(228);
    const IPV6: Self = Self(229);
    const LINUX_SLL2: Self = Self(276);
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the type QinQ used before that was assigned.
const ETHERTYPES_VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

/// VLAN tags that are looked past; networks nest two, tests of three and four are known.
const MAX_VLAN_TAGS: usize = 8;

/// `AF_INET`, everywhere.
const AF_INET: u32 = 2;
/// `AF_INET6` of Linux, FreeBSD, macOS, and NetBSD/OpenBSD.
const AF_INET6: [u32; 4] = [10, 28, 30, 24];

/// The IP packet in a captured frame.
#[inline]
pub(super) fn payload(link: LinkType, bytes: &[u8]) -> Result<&[u8], Undecoded> {
    match link {
        LinkType::ETHERNET => by_ethertype(at(bytes, 12)?, rest(bytes, 14)?),
        LinkType::LINUX_SLL => by_ethertype(at(bytes, 14)?, rest(bytes, 16)?),
        LinkType::LINUX_SLL2 => by_ethertype(at(bytes, 0)?, rest(bytes, 20)?),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => Ok(bytes),
        LinkType::IPV4 | LinkType::IPV6 => Ok(bytes),
        LinkType::NULL | LinkType::LOOP => by_family(bytes),
        _ => Err(Undecoded::NotIp),
    }
}

/// Bytes 4 to 7 of a Linux cooked v2 header.
pub(super) fn interface_index(link: LinkType, bytes: &[u8]) -> Option<u32> {
    let index = bytes.get(4..)?.first_chunk()?;
    (link == LinkType::LINUX_SLL2).then(|| u32::from_be_bytes(*index))
}

fn by_ethertype(mut ethertype: u16, mut bytes: &[u8]) -> Result<&[u8], Undecoded> {
    for _ in 0..=MAX_VLAN_TAGS {
        match ethertype {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => return Ok(bytes),
            tag if ETHERTYPES_VLAN.contains(&tag) => {
                ethertype = at(bytes, 2)?;
                bytes = rest(bytes, 4)?;
            }
            _ => return Err(Undecoded::NotIp),
        }
    }
    Err(Undecoded::Malformed)
}

/// NULL has the family in the byte order of the machine that captured, LOOP in network order: the
/// families are small numbers, so either order tells itself apart.
fn by_family(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let (family, packet) = bytes.split_first_chunk().ok_or(Undecoded::Truncated)?;
    let is_ip = |family: u32| family == AF_INET || AF_INET6.contains(&family);
    if is_ip(u32::from_le_bytes(*family)) || is_ip(u32::from_be_bytes(*family)) {
        Ok(packet)
    } else {
        Err(Undecoded::NotIp)
    }
}

fn at(bytes: &[u8], offset: usize) -> Result<u16, Undecoded> {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk).ok_or(Undecoded::Truncated)?;
    Ok(u16::from_be_bytes(*field))
}

fn rest(bytes: &[u8], offset: usize) -> Result<&[u8], Undecoded> {
    bytes.get(offset..).ok_or(Undecoded::Truncated)
}
