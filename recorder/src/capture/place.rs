//! From what was asked for to interfaces in namespaces; in doubt the choices are told. No I/O but
//! [`survey`].

use std::{collections::HashSet, path::PathBuf};

use super::target::{Place, Target};
use crate::{
    interfaces::{
        Inhabited, Inventory, LOOPBACK_INDEX, Link, Names, Peer, Space, argument, containers,
        describe_served, describe_space, short_id, space_argument,
    },
    text::Printable,
};

/// The pseudo-interface for all interfaces.
pub(super) const ANY: &str = "any";
/// Interfaces captured on at once: each takes a thread and a kernel buffer.
pub(super) const MAX_INTERFACES: usize = 64;
/// Choices named in an error.
const MAX_CHOICES: usize = 16;

/// Why it can't be known where to capture.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// There is no such interface.
    #[error(
        "there is no interface {}: {}; `ebpfrec --list-interfaces` shows all",
        Printable::text(.name), Printable::text(.choices)
    )]
    UnknownInterface {
        /// What was asked for.
        name: String,
        /// What to choose among.
        choices: String,
    },
    /// Not ours, and in several other namespaces.
    #[error(
        "interface {} is in several network namespaces: {}",
        Printable::text(.name), Printable::text(.choices)
    )]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Arguments that say which to choose among.
        choices: String,
    },
    /// No such container, pod or namespace.
    #[error(
        "there is no {} here: {}; `ebpfrec --list-interfaces` shows all",
        Printable::text(.place), Printable::text(.choices)
    )]
    UnknownPlace {
        /// What was asked for.
        place: String,
        /// What to choose among.
        choices: String,
    },
    /// More than one.
    #[error(
        "{} can mean several: {}",
        Printable::text(.place), Printable::text(.choices)
    )]
    SeveralPlaces {
        /// What was asked for.
        place: String,
        /// Those to choose among.
        choices: String,
    },
    /// It uses a network that others use too, such as the host's.
    #[error(
        "{} has no network of its own: capture on what it uses, {}",
        Printable::text(.place), Printable::text(.used)
    )]
    SharedNetwork {
        /// What was asked for.
        place: String,
        /// The argument that captures there.
        used: String,
    },
    /// It is there, but can't be looked into.
    #[error(
        "cannot look into the network of {}: that needs root, or CAP_SYS_ADMIN and \
         CAP_SYS_PTRACE: run it with sudo",
        Printable::text(.place)
    )]
    Closed {
        /// What was asked for.
        place: String,
    },
    /// There is only the loopback interface.
    #[error(
        "{} has no interface but its loopback: capture on that with `-i {}/lo`",
        Printable::text(.place), Printable::text(.place)
    )]
    Bare {
        /// What was asked for.
        place: String,
    },
    /// Too many.
    #[error(
        "{count} interfaces are too many to capture on at once: give at most {MAX_INTERFACES}, or \
         use `any`"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// What there is to choose from.
pub(super) struct World {
    pub(super) inventory: Inventory,
    pub(super) containers: Vec<Inhabited>,
    /// Whether other namespaces were looked at, and could be.
    pub(super) privileged: bool,
}

/// An interface to capture on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Its name in its namespace.
    pub(super) name: String,
    /// What the user knows it by.
    pub(super) label: String,
    /// What it is, unless it is one of libpcap's own.
    pub(super) link: Option<Link>,
    /// Whose it is, in words.
    pub(super) description: Option<String>,
    /// Inode of its namespace.
    pub(super) netns: Option<u64>,
    /// Where to go for it, unless it is here.
    pub(super) inside: Option<Inside>,
}

/// Another namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside {
    /// Where it can be opened.
    pub(super) path: PathBuf,
    /// Its inode.
    pub(super) inode: u64,
    /// A process that was in it.
    pub(super) pid: u32,
}

/// Looks at as much as the targets need: nothing but our own namespace, if they are all there. Then
/// nobody is asked for names either.
pub(super) fn survey(targets: &[Target], names: impl FnOnce() -> Names) -> World {
    let own = Inventory::own();
    let plain = |target: &Target| match target {
        Target::Name(name) if name == ANY => true,
        Target::Name(name) => own.spaces.iter().flat_map(|space| find(space, name)).any(
            // A veth is told with what it leads to.
            |(link, peer)| link.name == *name && peer.is_none(),
        ),
        Target::Inside(..) => false,
    };
    if targets.iter().all(plain) {
        return World { inventory: own, containers: vec![], privileged: false };
    }
    let inventory = Inventory { names: names(), ..Inventory::take() };
    let containers = containers(&inventory.names);
    let privileged = rustix::process::geteuid().is_root() || inventory.spaces.len() > 1;
    World { inventory, containers, privileged }
}

/// What to capture on, each interface once.
pub(super) fn resolve(targets: &[Target], world: &World) -> Result<Vec<Source>, PlaceError> {
    let mut sources: Vec<Source> = vec![];
    let mut seen = HashSet::new();
    for target in targets {
        let found = match target {
            Target::Name(name) => vec![world.by_name(name)?],
            Target::Inside(place, interface) => world.inside(place, interface.as_deref())?,
        };
        sources.extend(
            found.into_iter().filter(|source| seen.insert((source.netns, source.name.clone()))),
        );
    }
    if sources.len() > MAX_INTERFACES {
        return Err(PlaceError::TooMany { count: sources.len() });
    }
    Ok(sources)
}

impl World {
    fn own(&self) -> Option<&Space> {
        self.inventory.spaces.iter().find(|space| space.is_own)
    }

    fn by_name(&self, name: &str) -> Result<Source, PlaceError> {
        let own = self.own();
        if name != ANY
            && let Some((space, found)) = own.and_then(|space| Some((space, find(space, name)?)))
        {
            return Ok(self.source(space, Some(found), name));
        }
        let others = self.inventory.spaces.iter().filter(|space| name != ANY && !space.is_own);
        let others: Vec<_> = others.filter_map(|space| Some((space, find(space, name)?))).collect();
        match others[..] {
            [(space, found)] => Ok(self.source(space, Some(found), name)),
            // `any`, and what libpcap knows beside interfaces.
            [] => Ok(Source {
                name: name.to_owned(),
                label: name.to_owned(),
                link: None,
                description: None,
                netns: own.map(|space| space.inode),
                inside: None,
            }),
            _ => {
                let arguments =
                    others.iter().map(|(space, (link, _))| argument(&self.inventory, space, link));
                Err(PlaceError::Ambiguous { name: name.to_owned(), choices: join(arguments) })
            }
        }
    }

    fn inside(&self, place: &Place, interface: Option<&str>) -> Result<Vec<Source>, PlaceError> {
        let space = self.space(place)?;
        if let Some(name) = interface {
            let found = find(space, name);
            if found.is_none() && name != ANY {
                return Err(PlaceError::UnknownInterface {
                    name: format!("{place}/{name}"),
                    choices: join(
                        space.links.iter().map(|(link, _)| format!("{place}/{}", link.name)),
                    ),
                });
            }
            return Ok(vec![self.source(space, found, name)]);
        }
        let all = space.links.iter().filter(|(link, _)| link.index != LOOPBACK_INDEX);
        let sources: Vec<_> =
            all.map(|found| self.source(space, Some(found), &found.0.name)).collect();
        if sources.is_empty() {
            return Err(PlaceError::Bare { place: place.to_string() });
        }
        Ok(sources)
    }

    fn space(&self, place: &Place) -> Result<&Space, PlaceError> {
        let inodes: Vec<u64> = match place {
            Place::Container(name) => self.containers_by_name(place, name)?,
            Place::Pod { namespace, name } => self.of_pods(|of| {
                of.pod.as_ref().is_some_and(|pod| pod.0 == *namespace && pod.1 == *name)
            }),
            Place::PodUid(uid) => {
                self.of_pods(|of| of.container.pod_uid.as_deref() == Some(uid.as_str()))
            }
            Place::Netns(name) => {
                let named = self.inventory.with_name(name).map(|space| space.inode);
                let inode = name.parse().ok();
                let numbered =
                    self.inventory.spaces.iter().filter(|space| Some(space.inode) == inode);
                named.chain(numbered.map(|space| space.inode)).collect()
            }
        };
        let inode = match inodes[..] {
            [] if !self.privileged => return Err(PlaceError::Closed { place: place.to_string() }),
            [] => return Err(self.unknown(place)),
            [inode] => inode,
            _ => {
                let choices = join(inodes.iter().map(|inode| format!("netns:{inode}")));
                return Err(PlaceError::SeveralPlaces { place: place.to_string(), choices });
            }
        };
        let space = self.inventory.spaces.iter().find(|space| space.inode == inode);
        let space = space.ok_or_else(|| PlaceError::Closed { place: place.to_string() })?;
        if space.serves.is_none() && !matches!(place, Place::Netns(_)) {
            let used =
                if space.is_own { ANY.to_owned() } else { space_argument(&self.inventory, space) };
            return Err(PlaceError::SharedNetwork { place: place.to_string(), used });
        }
        Ok(space)
    }

    /// Namespaces of the container with this name, else with an id that begins so.
    fn containers_by_name(&self, place: &Place, name: &str) -> Result<Vec<u64>, PlaceError> {
        let is_id = |of: &&Inhabited| of.container.id.starts_with(name);
        let named = |of: &&Inhabited| of.name.as_deref() == Some(name);
        let mut found: Vec<_> = self.containers.iter().filter(named).collect();
        if found.is_empty() {
            found = self.containers.iter().filter(is_id).collect();
        }
        if found.len() > 1 {
            let ids = found.iter().map(|of| format!("container:{}", short_id(&of.container.id)));
            let (place, choices) = (place.to_string(), join(ids));
            return Err(PlaceError::SeveralPlaces { place, choices });
        }
        Ok(found.iter().map(|of| of.netns).collect())
    }

    /// Namespaces of the containers that are `wanted`, each once.
    fn of_pods(&self, wanted: impl Fn(&Inhabited) -> bool) -> Vec<u64> {
        let mut inodes: Vec<u64> =
            self.containers.iter().filter(|of| wanted(of)).map(|of| of.netns).collect();
        inodes.sort_unstable();
        inodes.dedup();
        inodes
    }

    fn unknown(&self, place: &Place) -> PlaceError {
        let containers = || {
            let name = |of: &Inhabited| match &of.name {
                Some(name) => format!("container:{name}"),
                None => format!("container:{}", short_id(&of.container.id)),
            };
            self.containers.iter().map(name).collect::<Vec<_>>()
        };
        let choices = match place {
            Place::Container(_) => containers(),
            Place::Pod { .. } | Place::PodUid(_) => {
                let name = |of: &Inhabited| match (&of.pod, &of.container.pod_uid) {
                    (Some((namespace, name)), _) => Some(format!("pod:{namespace}/{name}")),
                    (None, Some(uid)) => Some(format!("pod:{uid}")),
                    (None, None) => None,
                };
                let mut pods: Vec<_> = self.containers.iter().filter_map(name).collect();
                pods.sort_unstable();
                pods.dedup();
                pods
            }
            Place::Netns(_) => {
                let others = self.inventory.spaces.iter().filter(|space| !space.is_own);
                others.map(|space| space_argument(&self.inventory, space)).collect()
            }
        };
        PlaceError::UnknownPlace { place: place.to_string(), choices: join(choices.into_iter()) }
    }

    fn source(&self, space: &Space, found: Option<&(Link, Option<Peer>)>, name: &str) -> Source {
        let link = found.map(|(link, _)| link);
        // Of several names the first is the one that fits into every interface of the kernel.
        let name = link.map_or(name, |link| &link.name);
        let label = if space.is_own {
            name.to_owned()
        } else {
            format!("{}/{name}", space_argument(&self.inventory, space))
        };
        let description = if space.is_own {
            let peer = found.and_then(|(_, peer)| *peer);
            let serves = self.inventory.served_by(space, peer);
            serves.map(|serves| format!("to {}", describe_served(&self.inventory.names, &serves)))
        } else {
            Some(describe_space(&self.inventory.names, space))
        };
        let inside = (!space.is_own).then(|| Inside {
            path: space.path.clone(),
            inode: space.inode,
            pid: space.pid.unwrap_or(0),
        });
        Source {
            name: name.to_owned(),
            label,
            link: link.cloned(),
            description,
            netns: Some(space.inode),
            inside,
        }
    }

    /// There is no such interface in our own namespace, nor anywhere else.
    pub(super) fn unknown_interface(&self, name: &str) -> PlaceError {
        let own = self.own().into_iter().flat_map(|space| &space.links);
        let names = std::iter::once(ANY.to_owned()).chain(own.map(|(link, _)| link.name.clone()));
        PlaceError::UnknownInterface { name: name.to_owned(), choices: join(names) }
    }
}

/// The interface of this name, or that answers to it.
fn find<'a>(space: &'a Space, name: &str) -> Option<&'a (Link, Option<Peer>)> {
    let mut links = space.links.iter();
    links.find(|(link, _)| link.name == name || link.other_names.iter().any(|other| other == name))
}

fn join(choices: impl Iterator<Item = String>) -> String {
    let mut choices: Vec<String> = choices.take(MAX_CHOICES + 1).collect();
    if choices.is_empty() {
        return "there is none to choose".to_owned();
    }
    if choices.len() > MAX_CHOICES {
        choices[MAX_CHOICES] = "…".to_owned();
    }
    format!("choose among {}", choices.join(", "))
}

#[cfg(test)]
#[path = "place/tests.rs"]
mod tests;
