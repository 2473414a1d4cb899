//! Network interfaces of all namespaces, by rtnetlink(7): what they are called, where a veth's
//! other end is, and which container they serve. Never keeps a namespace open: that would keep its
//! interfaces alive after their container.
//!
//! - [`links`]: those of one namespace
//! - [`Inventory`]: those of all
//! - [`containers`]: which container uses which; [`Names`]: what it is called
//! - [`Watch`]: a thread that tells of every change
//! - [`table`]: for people

mod changes;
mod inhabited;
mod inventory;
mod link;
mod names;
mod naming;
mod serves;
pub mod table;
mod watch;

use std::{net::IpAddr, sync::Arc};

pub use self::{
    inhabited::{Inhabited, containers},
    inventory::{Inventory, Peer, Space},
    link::{Link, State, links, losses_of},
    names::Names,
    naming::{
        LOOPBACK_INDEX, argument, describe_served, describe_space, option, short_id, space_argument,
    },
    serves::Serves,
    watch::Watch,
};

/// An interface with one of its addresses: what a row of the event file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Index in its namespace.
    pub index: u32,
    /// Name; untrusted text.
    pub name: Arc<str>,
    /// Hardware address, `00:11:22:33:44:55`; `None` if it has none.
    pub mac: Option<Arc<str>>,
    /// An address; `None` if it has none.
    pub address: Option<IpAddr>,
    /// Inode of its namespace.
    pub netns: u64,
    /// The kernel's id of its namespace.
    pub netns_cookie: Option<u64>,
    /// The other end, of a veth.
    pub peer: Option<Peer>,
    /// The container it is there for: that of its namespace, else that of its other end's.
    pub serves: Option<Arc<Serves>>,
    /// Whether it is gone, or has lost the address.
    pub removed: bool,
}
