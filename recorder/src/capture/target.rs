//! What `-i` can be given. An interface's name never holds a slash or a colon (the kernel refuses
//! both), so that neither can be taken for one.
//!
//! ```text
//! NAME                      an interface of our own namespace, else the only one of that name
//! any                       all of our own namespace at once, with cooked headers
//! container:NAME[/IFACE]    a container, by name or id: all but its loopback, or that one
//! pod:NAMESPACE/NAME[/IFACE]
//! pod:UID
//! netns:NAME[/IFACE]        a namespace by its name under /run/netns, or by inode
//! ```

use std::{fmt, str::FromStr};

/// Where to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An interface by its name alone, `any` included.
    Name(String),
    /// Inside a namespace: one interface, or all but the loopback.
    Inside(Place, Option<String>),
}

/// A namespace, as people speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A container's, by its name or the beginning of its id.
    Container(String),
    /// A pod's.
    Pod {
        /// Kubernetes' namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
    /// A pod's, by Kubernetes' id of it.
    PodUid(String),
    /// By its name under `/run/netns`, or by inode.
    Netns(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Pod { namespace, name } => write!(f, "pod:{namespace}/{name}"),
            Self::PodUid(uid) => write!(f, "pod:{uid}"),
            Self::Netns(name) => write!(f, "netns:{name}"),
        }
    }
}

/// What is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give the name of an interface, `any`, container:NAME, pod:NAMESPACE/NAME or netns:NAME; the \
     last three may end with /INTERFACE"
)]
pub struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let Some((kind, rest)) = text.split_once(':') else {
            let is_name = !text.is_empty() && !text.contains('/');
            return if is_name { Ok(Self::Name(text.to_owned())) } else { Err(NoTarget) };
        };
        let parts: Vec<&str> = rest.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(NoTarget);
        }
        let own = |part: &&str| (*part).to_owned();
        let (place, interface) = match (kind, &parts[..]) {
            ("container", [name, rest @ ..]) => (Place::Container(own(name)), rest),
            ("netns", [name, rest @ ..]) => (Place::Netns(own(name)), rest),
            ("pod", [uid]) => (Place::PodUid(own(uid)), &[][..]),
            ("pod", [namespace, name, rest @ ..]) => {
                (Place::Pod { namespace: own(namespace), name: own(name) }, rest)
            }
            _ => return Err(NoTarget),
        };
        match interface {
            [] => Ok(Self::Inside(place, None)),
            [interface] => Ok(Self::Inside(place, Some(own(interface)))),
            _ => Err(NoTarget),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let inside =
            |place, interface: Option<&str>| Target::Inside(place, interface.map(str::to_owned));
        let own = str::to_owned;
        let pod = || Place::Pod { namespace: own("shop"), name: own("web-0") };
        for (text, want) in [
            ("eth0", Target::Name(own("eth0"))),
            ("any", Target::Name(own("any"))),
            ("eth0@if7", Target::Name(own("eth0@if7"))),
            ("container:web", inside(Place::Container(own("web")), None)),
            ("container:web/eth1", inside(Place::Container(own("web")), Some("eth1"))),
            ("pod:shop/web-0", inside(pod(), None)),
            ("pod:shop/web-0/lo", inside(pod(), Some("lo"))),
            ("pod:1a2b", inside(Place::PodUid(own("1a2b")), None)),
            ("netns:4026532177/any", inside(Place::Netns(own("4026532177")), Some("any"))),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for bad in ["", "a/b", "eth0:1", "container:", "container:web/", "netns:/x", "pod:a/b/c/d"]
        {
            assert_eq!(bad.parse::<Target>(), Err(NoTarget), "{bad}");
        }
    }
}
