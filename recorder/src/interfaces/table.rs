//! The list of all interfaces, for people and for programs.

use std::{fmt::Write as _, net::IpAddr};

use serde_json::{Value, json};

use super::{
    Inventory, Link, Peer, Space, State, argument, describe_served, describe_space, option,
};
use crate::text::Printable;

/// Columns of the table.
const HEADINGS: [&str; 6] = ["NAMESPACE", "INTERFACE", "STATE", "FOR", "CAPTURE WITH", "ADDRESSES"];

/// The table, each line ended.
#[must_use]
pub fn list(inventory: &Inventory) -> String {
    let printable = |text: String| Printable::text(&text).to_string();
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for (space, (link, peer)) in each(inventory) {
        let place =
            if space.is_own { "here".to_owned() } else { describe_space(&inventory.names, space) };
        let serves = inventory.served_by(space, *peer);
        let other_names = link.other_names.iter().map(|name| format!(" ({name})"));
        rows.push(
            [
                place,
                link.name.clone() + &other_names.collect::<String>(),
                state(link).to_owned(),
                serves.map_or("-".to_owned(), |serves| describe_served(&inventory.names, &serves)),
                option(&argument(inventory, space, link)),
                if link.addresses.is_empty() { "-".to_owned() } else { addresses(link).join(" ") },
            ]
            .map(printable),
        );
    }
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if inventory.refused > 0 {
        let _ = writeln!(out, "and {} more that there is no room for", inventory.refused);
    }
    out
}

/// The same as JSON: an array of objects.
#[must_use]
pub fn list_json(inventory: &Inventory) -> Value {
    let object = |(space, (link, peer)): (&Space, &(Link, Option<Peer>))| {
        let serves = inventory.served_by(space, *peer);
        let container = serves.as_ref().and_then(|serves| serves.container.as_ref());
        let pod_uid = serves.as_ref().and_then(|serves| serves.pod_uid.as_ref());
        let pod = pod_uid.and_then(|uid| inventory.names.pod(uid));
        json!({
            "netns": space.inode,
            "netns_cookie": space.cookie,
            "netns_name": space.name,
            "here": space.is_own,
            "name": link.name,
            "other_names": link.other_names,
            "index": link.index,
            "kind": link.kind,
            "state": state(link),
            "mac": link.mac,
            "addresses": addresses(link),
            "peer_netns": peer.and_then(|peer| peer.netns),
            "peer_index": peer.map(|peer| peer.index),
            "container_id": container.map(|container| &container.id),
            "container_runtime": container.and_then(|container| container.runtime),
            "container_name": container.and_then(|of| inventory.names.container(&of.id)),
            "pod": pod.map(|(namespace, name)| format!("{namespace}/{name}")),
            "pod_uid": pod_uid,
            "capture": argument(inventory, space, link),
        })
    };
    each(inventory).map(object).collect()
}

fn each(inventory: &Inventory) -> impl Iterator<Item = (&Space, &(Link, Option<Peer>))> {
    inventory.spaces.iter().flat_map(|space| space.links.iter().map(move |link| (space, link)))
}

fn state(link: &Link) -> &'static str {
    match link.state {
        State::Up => "up",
        State::NoCarrier => "no-carrier",
        State::Down => "down",
    }
}

fn addresses(link: &Link) -> Vec<String> {
    link.addresses.iter().map(IpAddr::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{container::Container, interfaces::Serves};

    fn link(index: u32, name: &str, peer: Option<Peer>) -> (Link, Option<Peer>) {
        let link = Link {
            index,
            name: name.to_owned(),
            other_names: vec![],
            mac: None,
            kind: None,
            state: State::Up,
            behind: None,
            behind_nsid: None,
            addresses: vec!["10.0.0.1".parse().expect("an address")],
        };
        (link, peer)
    }

    fn space(inode: u64, name: Option<&str>, links: Vec<(Link, Option<Peer>)>) -> Space {
        Space {
            inode,
            cookie: None,
            is_own: inode == 1,
            name: name.map(str::to_owned),
            path: "/".into(),
            pid: None,
            serves: None,
            links,
        }
    }

    #[test]
    fn a_line_for_each_with_what_captures_on_it() {
        let id = "0123456789abcdef".repeat(4);
        let container = Container { id, runtime: Some("docker"), pod_uid: None };
        let serves = Serves { container: Some(container), pod_uid: None };
        let to_web = Peer { netns: Some(2), index: 2 };
        let web = Space {
            serves: Some(Arc::new(serves)),
            ..space(2, None, vec![link(1, "lo", None), link(2, "eth0", None)])
        };
        let hostile = space(3, Some("$(x)"), vec![link(2, "a\u{1b}[m", None), link(3, "b", None)]);
        let own = space(1, None, vec![link(7, "veth1", Some(to_web))]);
        let spaces = vec![own, web, hostile];
        let mut inventory = Inventory { spaces, ..Inventory::default() };
        let want = "\
NAMESPACE               INTERFACE  STATE  FOR                     CAPTURE WITH                  ADDRESSES
here                    veth1      up     container 0123456789ab  -i veth1                      10.0.0.1
container 0123456789ab  lo         up     container 0123456789ab  -i container:0123456789ab/lo  10.0.0.1
container 0123456789ab  eth0       up     container 0123456789ab  -i container:0123456789ab     10.0.0.1
netns $(x)              a\\u{1b}[m  up     -                       -i 'netns:$(x)/a\\u{1b}[m'     10.0.0.1
netns $(x)              b          up     -                       -i 'netns:$(x)/b'             10.0.0.1
";
        assert_eq!(list(&inventory), want);
        inventory.names.add_container("0123456789abcdef".repeat(4), "web".to_owned());
        let named = list(&inventory);
        assert!(named.contains(" container web  -i veth1 "), "{named}");
        assert!(named.contains(" -i container:web/lo "), "{named}");
        let json = list_json(&inventory);
        assert_eq!(json[0]["container_name"], "web");
        assert_eq!(json[0]["peer_netns"], 2);
        assert_eq!(json[0]["container_id"], json[2]["container_id"]);
        assert_eq!(json[3]["capture"], "netns:$(x)/a\u{1b}[m");
    }
}
