//! The interfaces of one namespace and their addresses.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::{DUMP, Message, ask, attributes, push_attribute, request};

/// `RTM_NEWLINK`.
const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`.
const GET_LINK: u16 = 18;
/// `RTM_NEWADDR`.
const NEW_ADDR: u16 = 20;
/// `RTM_GETADDR`.
const GET_ADDR: u16 = 22;
/// `IFLA_ADDRESS`.
const LINK_ADDRESS: u16 = 1;
/// `IFLA_IFNAME`.
const LINK_NAME: u16 = 3;
/// `IFLA_LINK`: the other end of a veth, what a VLAN is on.
const LINK_LINK: u16 = 5;
/// `IFLA_LINKINFO`, and in it `IFLA_INFO_KIND`.
const LINK_INFO: u16 = 18;
const LINK_INFO_KIND: u16 = 1;
/// `IFLA_STATS64`.
const LINK_STATS: u16 = 23;
/// `IFLA_EXT_MASK`; `RTEXT_FILTER_SKIP_STATS` leaves out the counters, which are most of an answer.
const LINK_MASK: u16 = 29;
const SKIP_STATS: u32 = 1 << 3;
/// `IFLA_LINK_NETNSID`: the namespace that `IFLA_LINK` is in, where it is another.
const LINK_NSID: u16 = 37;
/// `IFLA_PROP_LIST`, and in it `IFLA_ALT_IFNAME`.
const LINK_PROPERTIES: u16 = 52;
const LINK_OTHER_NAME: u16 = 53;
/// `IFA_ADDRESS`: the other end's, on a point-to-point link.
const ADDR_ADDRESS: u16 = 1;
/// `IFA_LOCAL`: our own, where the two differ.
const ADDR_LOCAL: u16 = 2;
/// `IFF_UP`.
const FLAG_UP: u32 = 1;
/// `IFF_LOWER_UP`: there is a carrier.
const FLAG_CARRIER: u32 = 1 << 16;
/// In `struct rtnl_link_stats64`, the places of `rx_fifo_errors` and `rx_missed_errors`: what
/// libpcap counts as lost by the interface.
const STATS_LOST: [usize; 2] = [14, 15];

/// Whether packets can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They can.
    Up,
    /// It is up, but nothing is plugged in.
    NoCarrier,
    /// It was not brought up.
    Down,
}

/// An interface, with numbers that mean something in its own namespace only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index.
    pub index: u32,
    /// Name; untrusted text.
    pub name: String,
    /// Other names it answers to; untrusted text.
    pub other_names: Vec<String>,
    /// Hardware address, `00:11:22:33:44:55`; `None` if it has none.
    pub mac: Option<String>,
    /// What made it, such as `veth` or `bridge`; `None` for hardware.
    pub kind: Option<String>,
    /// Whether packets can pass.
    pub state: State,
    /// Index of the interface behind this one: a veth's other end, what a VLAN is on.
    pub behind: Option<u32>,
    /// The number of that interface's namespace, if it is another one.
    pub behind_nsid: Option<i32>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The interfaces of this thread's namespace. Takes no privilege.
///
/// # Errors
/// The kernel refused to tell.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = vec![];
    ask(NETLINK_ROUTE, &request(GET_LINK, DUMP, &link_request(0, SKIP_STATS)), |message| {
        links.extend(parse_link(message));
    })?;
    let mut addresses: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    // struct ifaddrmsg, 8 bytes: all zero asks for all.
    ask(NETLINK_ROUTE, &request(GET_ADDR, DUMP, &[0; 8]), |message| {
        if let Some((index, address)) = parse_address(message) {
            addresses.entry(index).or_default().push(address);
        }
    })?;
    for link in &mut links {
        link.addresses = addresses.remove(&link.index).unwrap_or_default();
    }
    Ok(links)
}

/// Packets that an interface of this thread's namespace lost before anybody could capture them,
/// since it came to be.
///
/// # Errors
/// It is gone.
pub fn losses_of(index: u32) -> io::Result<u64> {
    let mut lost = None;
    let body = link_request(index, 0);
    ask(NETLINK_ROUTE, &request(GET_LINK, crate::netlink::ACK, &body), |message| {
        lost = parse_losses(message).or(lost);
    })?;
    lost.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn link_request(index: u32, mask: u32) -> Vec<u8> {
    // struct ifinfomsg: without an index it asks for all.
    let mut body = vec![0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    push_attribute(&mut body, LINK_MASK, &mask.to_ne_bytes());
    body
}

fn parse_losses(message: Message<'_>) -> Option<u64> {
    let (_, rest) = message.payload.split_first_chunk::<16>()?;
    let (_, stats) = attributes(rest).find(|&(kind, _)| kind == LINK_STATS)?;
    let field = |place: usize| -> Option<u64> {
        Some(u64::from_ne_bytes(*stats.get(8 * place..)?.first_chunk::<8>()?))
    };
    (message.kind == NEW_LINK)
        .then_some(field(STATS_LOST[0])?.saturating_add(field(STATS_LOST[1])?))
}

/// `struct ifinfomsg`: family u8, pad u8, type u16, index i32, flags u32, change u32.
fn parse_link(message: Message<'_>) -> Option<Link> {
    let (header, rest) = message.payload.split_first_chunk::<16>()?;
    if message.kind != NEW_LINK {
        return None;
    }
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let state = match (flags & FLAG_UP != 0, flags & FLAG_CARRIER != 0) {
        (true, true) => State::Up,
        (true, false) => State::NoCarrier,
        (false, _) => State::Down,
    };
    let mut link = Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        name: String::new(),
        other_names: vec![],
        mac: None,
        kind: None,
        state,
        behind: None,
        behind_nsid: None,
        addresses: vec![],
    };
    for (kind, value) in attributes(rest) {
        match kind {
            LINK_NAME => link.name = text(value),
            LINK_ADDRESS => link.mac = format_mac(value),
            LINK_LINK => link.behind = number(value).filter(|&index| index != 0),
            LINK_NSID => link.behind_nsid = number(value).map(u32::cast_signed),
            LINK_INFO => {
                let name = attributes(value).find(|&(kind, _)| kind == LINK_INFO_KIND);
                link.kind = name.map(|(_, name)| text(name));
            }
            LINK_PROPERTIES => {
                let names = attributes(value).filter(|&(kind, _)| kind == LINK_OTHER_NAME);
                link.other_names = names.map(|(_, name)| text(name)).collect();
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

/// `struct ifaddrmsg`: family u8, prefix length u8, flags u8, scope u8, index u32.
fn parse_address(message: Message<'_>) -> Option<(u32, IpAddr)> {
    let ([_, _, _, _, index @ ..], rest) = message.payload.split_first_chunk::<8>()?;
    if message.kind != NEW_ADDR {
        return None;
    }
    let of_kind = |wanted| attributes(rest).find(|&(kind, _)| kind == wanted);
    let (_, value) = of_kind(ADDR_LOCAL).or_else(|| of_kind(ADDR_ADDRESS))?;
    let address = match value.len() {
        4 => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
        16 => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some((u32::from_ne_bytes(*index), address))
}

/// Text up to its NUL.
fn text(value: &[u8]) -> String {
    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk::<4>().map(|&bytes| u32::from_ne_bytes(bytes))
}

fn format_mac(bytes: &[u8]) -> Option<String> {
    // Tunnels have IP addresses here, loopback has zeros.
    if bytes.len() != 6 || bytes.iter().all(|&byte| byte == 0) {
        return None;
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn loopback_is_there_with_its_address() {
        let found = links().expect("interfaces");
        let loopback = found.iter().find(|link| link.name == "lo").expect("loopback");
        assert!(loopback.mac.is_none() && loopback.behind.is_none());
        assert!(loopback.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        assert_eq!(losses_of(loopback.index).ok(), Some(0));
        assert!(losses_of(u32::MAX >> 1).is_err());
    }

    #[test]
    fn a_veth_and_a_point_to_point_address() {
        let mut link = vec![0, 0, 1, 0];
        link.extend(7_u32.to_ne_bytes());
        link.extend((FLAG_UP | FLAG_CARRIER).to_ne_bytes());
        link.extend([0; 4]);
        push_attribute(&mut link, LINK_NAME, b"eth0\0");
        push_attribute(&mut link, LINK_ADDRESS, &[2, 0, 0, 0, 0, 0xfe]);
        push_attribute(&mut link, LINK_LINK, &9_u32.to_ne_bytes());
        push_attribute(&mut link, LINK_NSID, &3_u32.to_ne_bytes());
        let mut info = vec![];
        push_attribute(&mut info, LINK_INFO_KIND, b"veth\0");
        push_attribute(&mut link, LINK_INFO, &info);
        let mut names = vec![];
        push_attribute(&mut names, LINK_OTHER_NAME, b"uplink\0");
        push_attribute(&mut link, LINK_PROPERTIES | 0x8000, &names);
        let link = request(NEW_LINK, 0, &link);
        let message = messages(&link).next().expect("whole");
        let parsed = parse_link(message).expect("a link");
        let want = Link {
            index: 7,
            name: "eth0".to_owned(),
            other_names: vec!["uplink".to_owned()],
            mac: Some("02:00:00:00:00:fe".to_owned()),
            kind: Some("veth".to_owned()),
            state: State::Up,
            behind: Some(9),
            behind_nsid: Some(3),
            addresses: vec![],
        };
        assert_eq!(parsed, want);
        for length in 0..message.payload.len() {
            let _ = parse_link(Message { payload: &message.payload[..length], ..message });
        }

        let mut address = vec![2, 32, 0, 0];
        address.extend(7_u32.to_ne_bytes());
        push_attribute(&mut address, ADDR_ADDRESS, &[10, 0, 0, 2]);
        push_attribute(&mut address, ADDR_LOCAL, &[10, 0, 0, 1]);
        let address = request(NEW_ADDR, 0, &address);
        let message = messages(&address).next().expect("whole");
        assert_eq!(parse_address(message), Some((7, Ipv4Addr::new(10, 0, 0, 1).into())));
        for length in 0..message.payload.len() {
            let cut = Message { payload: &message.payload[..length], ..message };
            let got = parse_address(cut);
            assert!(got.is_none() || length >= 16, "{length}");
        }
    }
}
