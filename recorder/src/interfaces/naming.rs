//! What namespaces and interfaces are called when people are spoken to.

use super::{Inventory, Link, Names, Serves, Space};
use crate::procfs::quote_cmdline;

/// Digits of a container's id that are shown, as container tools do.
const SHORT_ID: usize = 12;
/// Bytes of a quoted argument: longer than any name here.
const MAX_ARGUMENT: usize = 1024;
/// The loopback interface of every namespace (`LOOPBACK_IFINDEX`).
pub const LOOPBACK_INDEX: u32 = 1;

/// The part of a container's id that is shown.
#[must_use]
pub fn short_id(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// `container web`, `pod shop/web-0`: whom a namespace is there for. Untrusted text.
#[must_use]
pub fn describe_served(names: &Names, serves: &Serves) -> String {
    match (&serves.container, &serves.pod_uid) {
        (Some(container), _) => {
            let name = names.container(&container.id);
            format!("container {}", name.unwrap_or(short_id(&container.id)))
        }
        (None, Some(uid)) => match names.pod(uid) {
            Some((namespace, name)) => format!("pod {namespace}/{name}"),
            None => format!("pod {uid}"),
        },
        (None, None) => String::new(),
    }
}

/// `container web`, `netns blue`, `netns 4026532177`: a namespace. Untrusted text.
#[must_use]
pub fn describe_space(names: &Names, space: &Space) -> String {
    match (&space.serves, &space.name) {
        (Some(serves), _) => describe_served(names, serves),
        (None, Some(name)) => format!("netns {name}"),
        (None, None) => format!("netns {}", space.inode),
    }
}

/// The argument of `-i` that captures inside a namespace, without an interface. Untrusted text.
#[must_use]
pub fn space_argument(inventory: &Inventory, space: &Space) -> String {
    let serves = space.serves.as_ref();
    if let Some(container) = serves.and_then(|serves| serves.container.as_ref()) {
        let name = inventory.names.only_container(&container.id);
        return format!("container:{}", name.unwrap_or(short_id(&container.id)));
    }
    if let Some(uid) = serves.and_then(|serves| serves.pod_uid.as_ref()) {
        return match inventory.names.pod(uid) {
            Some((namespace, name)) => format!("pod:{namespace}/{name}"),
            None => format!("pod:{uid}"),
        };
    }
    match &space.name {
        Some(name) if inventory.with_name(name).count() == 1 => format!("netns:{name}"),
        _ => format!("netns:{}", space.inode),
    }
}

/// The argument of `-i` that captures on an interface. Untrusted text.
#[must_use]
pub fn argument(inventory: &Inventory, space: &Space, link: &Link) -> String {
    if space.is_own {
        return link.name.clone();
    }
    let space_argument = space_argument(inventory, space);
    let is_only = space.links.iter().filter(|(link, _)| link.index != LOOPBACK_INDEX).count() == 1;
    if is_only && link.index != LOOPBACK_INDEX {
        return space_argument;
    }
    format!("{space_argument}/{}", link.name)
}

/// `-i ARGUMENT`, quoted for a shell: a name can be made to do things there.
#[must_use]
pub fn option(argument: &str) -> String {
    quote_cmdline(&[b"-i\0", argument.as_bytes()].concat(), MAX_ARGUMENT)
}
