//! What was asked for, and what that is here.

use std::sync::Arc;

use super::*;
use crate::{
    container::Container,
    interfaces::{Serves, State},
};

const WEB: &str = "aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const APP: &str = "bbbb456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const HOST: &str = "bbbc456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn link(index: u32, name: &str) -> (Link, Option<Peer>) {
    let link = Link {
        index,
        name: name.to_owned(),
        other_names: vec![format!("other-{name}")],
        mac: None,
        kind: None,
        state: State::Up,
        behind: None,
        behind_nsid: None,
        addresses: vec![],
    };
    (link, None)
}

fn container(id: &str) -> Container {
    let pod_uid = (id == APP).then(|| "uid".to_owned());
    Container { id: id.to_owned(), runtime: None, pod_uid }
}

fn space(inode: u64, name: Option<&str>, serves: Option<&str>, links: &[&str]) -> Space {
    let serve = |id| Arc::new(Serves { container: Some(container(id)), pod_uid: None });
    Space {
        inode,
        cookie: None,
        is_own: inode == 1,
        name: name.map(str::to_owned),
        path: "/".into(),
        pid: None,
        serves: serves.map(serve),
        links: (1..).zip(links).map(|(index, name)| link(index, name)).collect(),
    }
}

fn world() -> World {
    let inhabited = |id, netns| Inhabited {
        container: container(id),
        name: (id == WEB).then(|| "web".to_owned()),
        pod: (id == APP).then(|| ("shop".to_owned(), "app-0".to_owned())),
        netns,
    };
    World {
        inventory: Inventory {
            spaces: vec![
                space(1, None, None, &["lo", "eth0", "veth1"]),
                space(2, None, Some(WEB), &["lo", "eth0", "eth1"]),
                space(3, None, Some(APP), &["lo", "eth0", "only"]),
                space(4, Some("blue"), None, &["lo", "eth2"]),
                space(5, Some("bare"), None, &["lo"]),
            ],
            ..Inventory::default()
        },
        containers: vec![inhabited(WEB, 2), inhabited(APP, 3), inhabited(HOST, 1)],
        privileged: true,
    }
}

/// Namespace and interface of each.
fn found(targets: &[&str]) -> Result<Vec<(u64, String)>, String> {
    let targets: Vec<Target> = targets.iter().map(|text| text.parse().expect("a target")).collect();
    let sources = resolve(&targets, &world()).map_err(|error| error.to_string())?;
    for source in &sources {
        assert_eq!(source.inside.is_none(), source.netns == Some(1), "{source:?}");
    }
    Ok(sources.into_iter().map(|source| (source.netns.unwrap_or(0), source.name)).collect())
}

#[test]
fn every_way_to_say_where() {
    type Case = (&'static [&'static str], &'static [(u64, &'static str)]);
    let all: &[Case] = &[
        (&["eth0", "eth0", "other-eth0", "netns:1/eth0"], &[(1, "eth0")]),
        (&["any"], &[(1, "any")]),
        (&["only"], &[(3, "only")]),
        (&["container:web"], &[(2, "eth0"), (2, "eth1")]),
        (&["container:aaaa456789ab/eth1", "container:web/lo"], &[(2, "eth1"), (2, "lo")]),
        (&["container:web/any"], &[(2, "any")]),
        (&["pod:shop/app-0/eth0"], &[(3, "eth0")]),
        (&["pod:uid"], &[(3, "eth0"), (3, "only")]),
        (&["netns:blue"], &[(4, "eth2")]),
        (&["netns:5/lo"], &[(5, "lo")]),
    ];
    for (targets, want) in all {
        let want: Vec<_> = want.iter().map(|&(inode, name)| (inode, name.to_owned())).collect();
        assert_eq!(found(targets), Ok(want), "{targets:?}");
    }
}

#[test]
fn in_doubt_the_choices_are_told() {
    for (target, want) in [
        (
            "eth1x", // libpcap is asked: it knows more than interfaces.
            None,
        ),
        (
            "container:nope",
            Some(
                "there is no container:nope here: choose among container:web, \
                 container:bbbb456789ab, container:bbbc456789ab; `ebpfrec --list-interfaces` shows \
                 all",
            ),
        ),
        (
            "container:bbb",
            Some(
                "container:bbb can mean several: choose among container:bbbb456789ab, \
                 container:bbbc456789ab",
            ),
        ),
        (
            "container:bbbc",
            Some("container:bbbc has no network of its own: capture on what it uses, any"),
        ),
        (
            "container:web/eth9",
            Some(
                "there is no interface container:web/eth9: choose among container:web/lo, \
                 container:web/eth0, container:web/eth1; `ebpfrec --list-interfaces` shows all",
            ),
        ),
        (
            "pod:shop/none",
            Some(
                "there is no pod:shop/none here: choose among pod:shop/app-0; `ebpfrec \
                 --list-interfaces` shows all",
            ),
        ),
        (
            "netns:red",
            Some(
                "there is no netns:red here: choose among container:aaaa456789ab, \
                 container:bbbb456789ab, netns:blue, netns:bare; `ebpfrec --list-interfaces` shows \
                 all",
            ),
        ),
        (
            "netns:bare",
            Some(
                "netns:bare has no interface but its loopback: capture on that with `-i \
                 netns:bare/lo`",
            ),
        ),
    ] {
        match want {
            Some(want) => assert_eq!(found(&[target]), Err(want.to_owned())),
            None => assert_eq!(found(&[target]), Ok(vec![(1, target.to_owned())])),
        }
    }
}

#[test]
fn a_name_that_several_other_namespaces_have_is_not_guessed() {
    let mut world = world();
    world.inventory.spaces[0].links.clear();
    let error = resolve(&["eth0".parse().expect("a target")], &world).expect_err("two");
    assert_eq!(
        error.to_string(),
        "interface eth0 is in several network namespaces: choose among \
         container:aaaa456789ab/eth0, container:bbbb456789ab/eth0"
    );
}

#[test]
fn too_many_interfaces_are_refused() {
    let mut world = world();
    let names: Vec<String> = (0..=MAX_INTERFACES).map(|number| format!("e{number}")).collect();
    world.inventory.spaces[3].links = (1..).zip(&names).map(|(at, name)| link(at, name)).collect();
    let error = resolve(&["netns:blue".parse().expect("a target")], &world);
    assert_eq!(error.err(), None, "the loopback does not count");
    world.inventory.spaces[3].links.push(link(99, "more"));
    let error = resolve(&["netns:blue".parse().expect("a target")], &world);
    assert_eq!(error.err(), Some(PlaceError::TooMany { count: MAX_INTERFACES + 1 }));
}

#[test]
fn without_privilege_it_says_what_is_needed() {
    let world = World { containers: vec![], privileged: false, ..world() };
    let error = resolve(&["container:web".parse().expect("a target")], &world);
    assert_eq!(error, Err(PlaceError::Closed { place: "container:web".to_owned() }));
}
