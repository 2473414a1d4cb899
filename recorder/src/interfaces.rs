//! Network interfaces and their addresses, by rtnetlink(7).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::netlink::{self, DUMP, Message, ask, attributes};

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
/// `IFA_ADDRESS`: the other end's, on a point-to-point link.
const ADDR_ADDRESS: u16 = 1;
/// `IFA_LOCAL`: our own, where the two differ.
const ADDR_LOCAL: u16 = 2;

/// An interface with one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Index in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address, `00:11:22:33:44:55`; `None` if it has none.
    pub mac: Option<String>,
    /// An address; `None` if it has none.
    pub address: Option<IpAddr>,
    /// Inode of its namespace.
    pub netns: Option<u64>,
}

/// The interfaces of this thread's namespace: one entry per address, one for an interface that has
/// none. `netns` is left out.
///
/// # Errors
/// The kernel refused to tell.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut links = vec![];
    // struct ifinfomsg, 16 bytes, and struct ifaddrmsg, 8: all zero asks for all.
    ask(NETLINK_ROUTE, &netlink::request(GET_LINK, DUMP, &[0; 16]), |message| {
        links.extend(parse_link(message));
    })?;
    let mut addresses: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    ask(NETLINK_ROUTE, &netlink::request(GET_ADDR, DUMP, &[0; 8]), |message| {
        if let Some((index, address)) = parse_address(message) {
            addresses.entry(index).or_default().push(address);
        }
    })?;
    let with_addresses = |link: Interface| {
        let own = addresses.remove(&link.index).unwrap_or_default();
        let bare = own.is_empty().then(|| link.clone());
        let each = own
            .into_iter()
            .map(move |address| Interface { address: Some(address), ..link.clone() });
        bare.into_iter().chain(each).collect::<Vec<_>>()
    };
    Ok(links.into_iter().flat_map(with_addresses).collect())
}

/// `struct ifinfomsg`: family u8, pad u8, type u16, index i32, flags u32, change u32.
fn parse_link(message: Message<'_>) -> Option<Interface> {
    let (header, rest) = message.payload.split_first_chunk::<16>()?;
    if message.kind != NEW_LINK {
        return None;
    }
    let [_, _, _, _, i0, i1, i2, i3, ..] = *header;
    let mut name = None;
    let mut mac = None;
    for (kind, value) in attributes(rest) {
        match kind {
            LINK_NAME => {
                let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
                name = Some(String::from_utf8_lossy(text).into_owned());
            }
            LINK_ADDRESS => mac = format_mac(value),
            _ => {}
        }
    }
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    Some(Interface { index, name: name?, mac, address: None, netns: None })
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
    use crate::netlink::{messages, push_attribute, request};

    #[test]
    fn loopback_is_there_with_its_address() {
        let found = list().expect("interfaces");
        let loopback: Vec<_> = found.iter().filter(|link| link.name == "lo").collect();
        assert!(!loopback.is_empty() && loopback.iter().all(|link| link.mac.is_none()));
        assert!(loopback.iter().any(|link| link.address == Some(Ipv4Addr::LOCALHOST.into())));
    }

    #[test]
    fn a_link_and_a_point_to_point_address() {
        let mut link = vec![0, 0, 1, 0];
        link.extend(7_u32.to_ne_bytes());
        link.extend([0; 8]);
        push_attribute(&mut link, LINK_NAME, b"eth0\0");
        push_attribute(&mut link, LINK_ADDRESS, &[2, 0, 0, 0, 0, 0xfe]);
        let link = request(NEW_LINK, 0, &link);
        let message = messages(&link).next().expect("whole");
        let parsed = parse_link(message).expect("a link");
        assert_eq!((parsed.index, parsed.name.as_str()), (7, "eth0"));
        assert_eq!(parsed.mac.as_deref(), Some("02:00:00:00:00:fe"));

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
