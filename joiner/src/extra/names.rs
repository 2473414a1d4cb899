//! Names of containers and pods for their addresses, as a name resolution block
//! (draft-ietf-opsawg-pcapng §4.5). An address has one name for the whole capture or none.
//!
//! ```text
//! record: 0 type u16 (1 IPv4, 2 IPv6)   2 length u16   4 address, name, NUL, padded to 4
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use schema::annotation::option::{ByteOrder, append};

use super::append_block;
use super::residents::{Resident, Residents};
use crate::events::Recordings;

/// Name resolution block.
pub const NAME_RESOLUTION: u32 = 4;
const END: u16 = 0;
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Bytes of a name that are kept: as many as a host's name may have.
const MAX_NAME: usize = 255;

/// The names of addresses that one container or pod had while the capture was made, from and to
/// when in nanoseconds since 1970. An address that anybody else had meanwhile has none.
#[must_use]
pub fn names(recordings: &Recordings, (from_ns, to_ns): (i64, i64)) -> BTreeMap<IpAddr, String> {
    let residents = Residents::new(recordings);
    let mut names = BTreeMap::new();
    for (address, tenures) in recordings.places.all_tenures() {
        let address = Ipv6Addr::from(address).to_canonical();
        let meanwhile = tenures.iter().filter(|t| t.from_ns <= to_ns && t.to_ns >= from_ns);
        let mut having = meanwhile.map(|tenure| residents.of(tenure.namespace));
        let Some(Some(first)) = having.next() else { continue };
        let is_its = |other: Option<&Resident>| other.is_some_and(|other| other.id == first.id);
        if is_somebodys(address) && first.name.len() <= MAX_NAME && having.all(is_its) {
            names.insert(address, first.name.clone());
        }
    }
    names
}

/// Whether an address can be one container's alone: every network has loopback and link-local ones.
fn is_somebodys(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local)
}

/// Appends the block; nothing if there are no names.
pub fn append_names(names: &BTreeMap<IpAddr, String>, order: ByteOrder, out: &mut Vec<u8>) {
    if names.is_empty() {
        return;
    }
    let mut body = vec![];
    for (address, name) in names {
        let (kind, mut value) = match address {
            IpAddr::V4(v4) => (IPV4, v4.octets().to_vec()),
            IpAddr::V6(v6) => (IPV6, v6.octets().to_vec()),
        };
        value.extend(name.as_bytes());
        value.push(0);
        // A record looks like an option.
        append(kind, &value, order, &mut body);
    }
    append(END, &[], order, &mut body);
    append_block(NAME_RESOLUTION, &body, order, out);
}

#[cfg(test)]
mod tests {
    use schema::{Event, Kind};

    use super::*;
    use crate::extra::tests::recordings;

    const START_NS: i64 = 1_700_000_000_000_000_000;

    fn interface<'a>(second: i64, netns: u64, address: &'a str, container: &'a str) -> Event<'a> {
        Event {
            ts: START_NS + second * 1_000_000_000,
            kind: Kind::Interface.as_str(),
            netns: Some(netns),
            ifname: Some("eth0"),
            ifindex: Some(2),
            local_addr: Some(address),
            container_id: (!container.is_empty()).then_some(container),
            container_name: (!container.is_empty()).then_some(container),
            ..Event::default()
        }
    }

    fn named(rows: &[Event<'_>], seconds: (i64, i64)) -> Vec<(String, String)> {
        let at = |second: i64| START_NS + second * 1_000_000_000;
        let names = names(&recordings(rows), (at(seconds.0), at(seconds.1)));
        names.into_iter().map(|(address, name)| (address.to_string(), name)).collect()
    }

    #[test]
    fn containers_and_pods_have_names_hosts_and_loopbacks_none() {
        let pod = Event {
            pod_namespace: Some("shop"),
            pod_name: Some("orders-0"),
            ..interface(1, 7, "fd00::7", "orders")
        };
        let rows = [
            interface(1, 5, "172.17.0.1", ""),
            interface(1, 6, "172.17.0.2", "web"),
            interface(1, 6, "127.0.0.1", "web"),
            interface(1, 6, "fe80::2", "web"),
            pod,
        ];
        let pair = |address: &str, name: &str| (address.to_owned(), name.to_owned());
        let expected = [pair("172.17.0.2", "web"), pair("fd00::7", "shop/orders-0")];
        assert_eq!(named(&rows, (0, 9)), expected);
    }

    #[test]
    fn an_address_that_two_had_while_it_was_captured_has_no_name() {
        let rows = [
            interface(1, 6, "172.17.0.2", "web"),
            Event { error: Some("removed"), ..interface(10, 6, "172.17.0.2", "web") },
            interface(20, 7, "172.17.0.2", "orders"),
        ];
        assert_eq!(named(&rows, (0, 30)), []);
        assert_eq!(named(&rows, (2, 9))[0].1, "web");
        assert_eq!(named(&rows, (21, 30))[0].1, "orders");
    }

    #[test]
    fn a_host_with_the_same_address_takes_the_name_away() {
        let rows = [interface(1, 5, "10.0.0.1", ""), interface(1, 6, "10.0.0.1", "web")];
        assert_eq!(named(&rows, (0, 9)), []);
    }

    #[test]
    fn the_end_of_a_veth_on_the_host_is_the_hosts_though_rows_name_the_container() {
        let veth = Event { ifname: Some("veth1"), ..interface(1, 5, "10.1.0.1", "web") };
        let rows = [interface(1, 5, "10.9.9.9", ""), veth, interface(1, 6, "10.1.0.2", "web")];
        assert_eq!(named(&rows, (0, 9)), [("10.1.0.2".to_owned(), "web".to_owned())]);
    }

    #[test]
    fn the_block_is_as_the_draft_has_it() {
        let v4 = (IpAddr::from([172, 17, 0, 2]), "web".to_owned());
        let v6 = (IpAddr::from(Ipv6Addr::LOCALHOST), "b".to_owned());
        let mut out = vec![];
        append_names(&BTreeMap::from([v4, v6]), ByteOrder::Big, &mut out);
        let expected = [
            &[0, 0, 0, 4, 0, 0, 0, 52][..],
            &[0, 1, 0, 8, 172, 17, 0, 2, b'w', b'e', b'b', 0],
            &[0, 2, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'b', 0, 0, 0],
            &[0, 0, 0, 0],
            &[0, 0, 0, 52],
        ];
        assert_eq!(out, expected.concat());
        out.clear();
        append_names(&BTreeMap::new(), ByteOrder::Big, &mut out);
        assert!(out.is_empty());
    }
}
