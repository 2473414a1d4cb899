//! What an interface is for, as an option of its description block: people think of containers, not
//! of `vethd38ebdb`. Only descriptions that lack one get it; nothing else of the block changes.

use schema::annotation::option::{ByteOrder, Options, append};

use super::append_block;
use super::residents::Residents;
use crate::block::Block;
use crate::block::interface::{Interface, parse};
use crate::events::{HostId, Recordings};

const IF_DESCRIPTION: u16 = 3;
/// Bytes of a description before its options.
const FIXED: usize = 8;

/// `block`, an interface description of a section in this byte order, with what is known of the
/// interface; `None` if nothing is, or if all that is known stands there already. `host` is the one
/// that captured, if that is known.
#[must_use]
pub fn described(
    block: &Block<'_>,
    order: ByteOrder,
    host: Option<HostId>,
    (recordings, residents): (&Recordings, &Residents),
) -> Option<Vec<u8>> {
    let interface = parse(block, order)?;
    let mut options = Options::new(block.body().get(FIXED..)?, order);
    for option in options.by_ref() {
        if option.ok()?.code == IF_DESCRIPTION {
            return None;
        }
    }
    let (name, place) = known(&interface, host, recordings, residents)?;
    let mut body = block.body()[..FIXED + options.offset()].to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    append(IF_DESCRIPTION, format!("{name} ({place})").as_bytes(), order, &mut body);
    append(0, &[], order, &mut body);
    let mut out = vec![];
    append_block(block.kind, &body, order, &mut out);
    Some(out)
}

/// The interface's name, and `container web` or `pod shop/web-0`: what it is for.
fn known(
    interface: &Interface,
    host: Option<HostId>,
    recordings: &Recordings,
    residents: &Residents,
) -> Option<(String, String)> {
    let places = &recordings.places;
    let host = host.or((recordings.hosts.len() == 1).then_some(HostId(0)));
    let name = interface.name.as_deref()?;
    let id = recordings.texts.find(name)?;
    let here = match interface.netns {
        Some(inode) => places.by_inode(host, inode)?,
        None => places.only_namespace(host, |link| link.name == id)?,
    };
    let beyond = places.beyond(here, |link| link.name == id);
    let mut near = [Some(here), beyond].into_iter().flatten();
    let resident = near.find_map(|namespace| residents.of(namespace))?;
    Some((name.to_owned(), format!("{} {}", resident.kind, resident.name)))
}

#[cfg(test)]
mod tests {
    use schema::{Event, Kind};

    use super::*;
    use crate::block::{INTERFACE, Step, first};
    use crate::extra::tests::recordings;

    const HOST: u64 = 5;

    fn link<'a>(netns: u64, ifname: &'a str, ifindex: u32, address: &'a str) -> Event<'a> {
        Event {
            ts: 1_700_000_000_000_000_000,
            kind: Kind::Interface.as_str(),
            netns: Some(netns),
            ifname: Some(ifname),
            ifindex: Some(ifindex),
            local_addr: Some(address),
            ..Event::default()
        }
    }

    /// A host with a veth to container `web`, both of whose ends have addresses.
    fn rows() -> [Event<'static>; 3] {
        let of_web = Event {
            container_id: Some("9f86d081884c"),
            container_name: Some("web"),
            ..Event::default()
        };
        let inside = link(6, "eth0", 2, "172.17.0.2");
        let veth = link(HOST, "vethd38ebdb", 7, "fe80::1");
        [
            link(HOST, "docker0", 3, "172.17.0.1"),
            Event {
                container_id: of_web.container_id,
                container_name: of_web.container_name,
                ..inside
            },
            Event {
                peer_netns: Some(6),
                peer_ifindex: Some(2),
                container_id: of_web.container_id,
                container_name: of_web.container_name,
                ..veth
            },
        ]
    }

    fn description(options: &[(u16, &[u8])], order: ByteOrder) -> Vec<u8> {
        let mut body = [&order.u16_bytes(1)[..], &[0, 0], &order.u32_bytes(0)].concat();
        for (code, value) in options {
            append(*code, value, order, &mut body);
        }
        let mut out = vec![];
        append_block(INTERFACE, &body, order, &mut out);
        out
    }

    fn described_as(options: &[(u16, &[u8])], order: ByteOrder) -> Option<Vec<u8>> {
        let bytes = description(options, order);
        let Step::Whole(block) = first(&bytes, order) else { panic!("a whole block") };
        let recordings = recordings(&rows());
        described(&block, order, None, (&recordings, &Residents::new(&recordings)))
    }

    #[test]
    fn a_veth_is_described_by_the_container_at_its_other_end() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let name = (2, &b"vethd38ebdb"[..]);
            let text = (3, &b"vethd38ebdb (container web)"[..]);
            let expected = description(&[name, (9, &[9]), text, (0, &[])], order);
            assert_eq!(described_as(&[name, (9, &[9]), (0, &[])], order), Some(expected.clone()));
            assert_eq!(described_as(&[name, (9, &[9])], order), Some(expected), "no end mark");
        }
    }

    #[test]
    fn an_interface_inside_is_told_by_the_namespace_that_the_recorder_wrote_down() {
        let comment = (1, &b"ebpfrec netns=6 ifindex=2"[..]);
        let name = (2, &b"eth0"[..]);
        let text = (3, &b"eth0 (container web)"[..]);
        let order = ByteOrder::Little;
        let expected = description(&[comment, name, text, (0, &[])], order);
        assert_eq!(described_as(&[comment, name, (0, &[])], order), Some(expected));
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known_or_something_said_already() {
        let name = (2, &b"vethd38ebdb"[..]);
        let order = ByteOrder::Little;
        assert_eq!(described_as(&[name, (3, b"mine"), (0, &[])], order), None);
        assert_eq!(described_as(&[(2, b"docker0"), (0, &[])], order), None);
        assert_eq!(described_as(&[(2, b"veth0000000"), (0, &[])], order), None);
        assert_eq!(described_as(&[(9, &[9]), (0, &[])], order), None);
        // Two namespaces have one of this name.
        let again = Event { netns: Some(8), ..rows()[2] };
        let [a, b, c] = rows();
        let recordings = recordings(&[a, b, c, again]);
        let bytes = description(&[name, (0, &[])], order);
        let Step::Whole(block) = first(&bytes, order) else { panic!("a whole block") };
        let residents = Residents::new(&recordings);
        assert_eq!(described(&block, order, None, (&recordings, &residents)), None);
    }
}
