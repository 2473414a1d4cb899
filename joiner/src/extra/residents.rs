//! Which network namespaces are a container's: those all of whose addresses are of one. Rows of a
//! veth's end on the host name the container, too, but what it has is the host's.

use std::collections::HashMap;

use schema::annotation::escape;

use crate::events::{HostId, NamespaceId, Recordings, Tenure, TextId};

/// The container or pod that a namespace is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its host and id.
    pub id: (HostId, TextId),
    /// `pod` or `container`.
    pub kind: &'static str,
    /// Its name, escaped.
    pub name: String,
}

/// By namespace; `None` where somebody else has an address, too, or no runtime told a name.
#[derive(Clone, Debug, Default)]
pub struct Residents(HashMap<NamespaceId, Option<Resident>>);

impl Residents {
    /// Whose the namespaces are.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        let mut found: HashMap<NamespaceId, Option<Resident>> = HashMap::new();
        for tenure in recordings.places.all_tenures().flat_map(|(_, tenures)| tenures) {
            let resident = resident(recordings, tenure);
            let known = found.entry(tenure.namespace).or_insert_with(|| resident.clone());
            match (known.as_mut(), resident) {
                (Some(known), Some(other)) if known.id == other.id => {
                    // Its name was not known when it was first told of.
                    if known.name.is_empty() || other.kind == "pod" {
                        *known = other;
                    }
                }
                _ => *known = None,
            }
        }
        let is_named = |resident: &Resident| !resident.name.is_empty();
        found.values_mut().for_each(|resident| *resident = resident.take().filter(is_named));
        Self(found)
    }

    /// The container or pod that `namespace` is of.
    #[must_use]
    pub fn of(&self, namespace: NamespaceId) -> Option<&Resident> {
        self.0.get(&namespace)?.as_ref()
    }
}

fn resident(recordings: &Recordings, tenure: &Tenure) -> Option<Resident> {
    let container = recordings.places.container(tenure.container?);
    let host = recordings.places.namespace(tenure.namespace).host;
    let text = |id| recordings.texts.get(id);
    let pod = text(container.pod).map(|name| ("pod", name));
    let named = pod.or_else(|| text(container.name).map(|name| ("container", name)));
    let (kind, name) = named.unwrap_or(("container", ""));
    let mut escaped = String::new();
    escape::encode(name, &mut escaped);
    Some(Resident { id: (host, container.id), kind, name: escaped })
}
