//! The interfaces of all namespaces at one moment.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::Arc,
};

use super::{
    Interface,
    link::{Link, links},
    names::Names,
    serves::{Serves, whom},
};
use crate::namespaces::{Found, Namespace, current_cookie, find_all, own_namespace};

/// Interfaces times addresses, at most: ten thousand containers' worth, some 20 MB.
const MAX_ENTRIES: usize = 65_536;
/// Our own namespace.
const OWN_PATH: &str = "/proc/self/ns/net";
/// Kinds of interface that come in pairs.
const PAIRED: [&str; 3] = ["veth", "netkit", "vxcan"];

/// The other end of a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Inode of its namespace; `None` if that could not be found.
    pub netns: Option<u64>,
    /// Its index there.
    pub index: u32,
}

/// A namespace and what is in it.
#[derive(Clone, Debug)]
pub struct Space {
    /// Inode of `/proc/PID/ns/net`.
    pub inode: u64,
    /// The kernel's id.
    pub cookie: Option<u64>,
    /// Whether it is that of this program.
    pub is_own: bool,
    /// What it is called where it is mounted; untrusted text.
    pub name: Option<String>,
    /// Where it can be opened.
    pub path: PathBuf,
    /// A process in it, if there is one.
    pub pid: Option<u32>,
    /// The container it was made for.
    pub serves: Option<Arc<Serves>>,
    /// Its interfaces, and the other ends of those that have one.
    pub links: Vec<(Link, Option<Peer>)>,
}

/// What there is at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Every namespace, our own first.
    pub spaces: Vec<Space>,
    /// Namespaces, and interfaces, that there was no room for.
    pub refused: u64,
    /// What containers and pods are called, as far as anybody said.
    pub names: Names,
}

impl Inventory {
    /// Looks at every namespace. Those of others take `CAP_SYS_ADMIN` to enter, and
    /// `CAP_SYS_PTRACE` to see; what can't be entered is left out.
    #[must_use]
    pub fn take() -> Self {
        let (mut found, refused) = find_all();
        let (_, own) = own_namespace();
        if let Some(own) = own
            && !found.iter().any(|space| space.inode == own)
        {
            // Without /proc of processes there is still this one.
            found.push(Found { inode: own, path: OWN_PATH.into(), name: None, pids: vec![] });
        }
        found.sort_by_key(|space| (Some(space.inode) != own, space.inode));
        let mut out = Self { refused, ..Self::default() };
        let mut left = MAX_ENTRIES;
        // Where other ends are likely to be: in the namespaces where some were before.
        let mut order: Vec<usize> = (0..found.len()).collect();
        for space in &found {
            let is_own = Some(space.inode) == own;
            let Ok((cookie, mut links)) = look(space, is_own, &found, &mut order) else { continue };
            links.retain(|(link, _)| {
                let entries = link.addresses.len().max(1);
                let fits = entries <= left;
                left -= if fits { entries } else { 0 };
                out.refused += u64::from(!fits);
                fits
            });
            out.spaces.push(Space {
                inode: space.inode,
                cookie,
                is_own,
                name: space.name.clone(),
                path: space.path.clone(),
                pid: space.pids.first().copied(),
                // Our own serves everybody, and so it does where we are in a container ourselves.
                serves: if is_own { None } else { whom(&space.pids).map(Arc::new) },
                links,
            });
        }
        out
    }

    /// Our own namespace alone, which takes no privilege. Other ends in other namespaces are not
    /// looked for.
    #[must_use]
    pub fn own() -> Self {
        let (cookie, inode) = own_namespace();
        let with_peer = |link: Link| {
            let peer = paired_index(&link).map(|index| Peer { netns: None, index });
            (link, peer)
        };
        let space = Space {
            inode: inode.unwrap_or(0),
            cookie,
            is_own: true,
            name: None,
            path: OWN_PATH.into(),
            pid: None,
            serves: None,
            links: links().unwrap_or_default().into_iter().map(with_peer).collect(),
        };
        Self { spaces: vec![space], ..Self::default() }
    }

    /// The namespaces that are mounted under this name.
    pub fn with_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Space> {
        self.spaces.iter().filter(move |space| space.name.as_deref() == Some(name))
    }

    /// The container that interfaces of this kind are there for: that of their namespace, else
    /// that of their other end's.
    #[must_use]
    pub fn served_by(&self, space: &Space, peer: Option<Peer>) -> Option<Arc<Serves>> {
        let other = || {
            let netns = peer?.netns?;
            self.spaces.iter().find(|space| space.inode == netns)?.serves.clone()
        };
        space.serves.clone().or_else(other)
    }

    /// One entry per address, one for an interface that has none.
    #[must_use]
    pub fn entries(&self) -> Vec<Interface> {
        let serves: HashMap<u64, Arc<Serves>> = self
            .spaces
            .iter()
            .filter_map(|space| Some((space.inode, Arc::clone(space.serves.as_ref()?))))
            .collect();
        let mut out = vec![];
        for space in &self.spaces {
            for (link, peer) in &space.links {
                let of_peer = peer.and_then(|peer| serves.get(&peer.netns?));
                let entry = Interface {
                    index: link.index,
                    name: link.name.as_str().into(),
                    mac: link.mac.as_deref().map(Arc::from),
                    address: None,
                    netns: space.inode,
                    netns_cookie: space.cookie,
                    peer: *peer,
                    serves: space.serves.as_ref().or(of_peer).cloned(),
                    removed: false,
                };
                let each = link.addresses.iter();
                out.extend(
                    each.map(|&address| Interface { address: Some(address), ..entry.clone() }),
                );
                if link.addresses.is_empty() {
                    out.push(entry);
                }
            }
        }
        out
    }
}

/// Index of the other end, if the interface is one that has another end.
fn paired_index(link: &Link) -> Option<u32> {
    link.behind.filter(|_| link.kind.as_deref().is_some_and(|kind| PAIRED.contains(&kind)))
}

type Looked = (Option<u64>, Vec<(Link, Option<Peer>)>);

fn look(space: &Found, is_own: bool, all: &[Found], order: &mut Vec<usize>) -> io::Result<Looked> {
    let mut look = || -> io::Result<Looked> {
        let links = links()?;
        let numbers = find_numbers(&links, all, order);
        let with_peer = |link: Link| {
            let peer = paired_index(&link).map(|index| Peer {
                netns: match link.behind_nsid {
                    Some(number) => numbers.get(&number).copied(),
                    None => Some(space.inode),
                },
                index,
            });
            (link, peer)
        };
        Ok((current_cookie().ok(), links.into_iter().map(with_peer).collect()))
    };
    if is_own {
        // Needs no privilege, and so nobody has to move.
        return look();
    }
    Namespace::open_same(&space.path, space.inode)?.run(look)?
}

/// Number → inode, for the namespaces that the interfaces of this thread's namespace speak of.
fn find_numbers(links: &[Link], all: &[Found], order: &mut Vec<usize>) -> HashMap<i32, u64> {
    let mut wanted: HashSet<i32> = links.iter().filter_map(|link| link.behind_nsid).collect();
    let mut numbers = HashMap::new();
    let mut useful = vec![];
    for (place, &candidate) in order.iter().enumerate() {
        if wanted.is_empty() {
            break;
        }
        let Some(found) = all.get(candidate) else { continue };
        let number =
            Namespace::open_same(&found.path, found.inode).and_then(|other| other.number());
        if let Ok(Some(number)) = number
            && wanted.remove(&number)
        {
            numbers.insert(number, found.inode);
            useful.push(place);
        }
    }
    // One that many have their other end in is asked first from now on.
    if let [place] = useful[..] {
        let candidate = order.remove(place);
        order.insert(0, candidate);
    }
    numbers
}
