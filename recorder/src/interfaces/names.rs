//! What container runtimes call the containers and pods of this host.

use std::collections::HashMap;

/// Names by id. All untrusted text.
#[derive(Clone, Debug, Default)]
pub struct Names {
    containers: HashMap<String, String>,
    /// Pod uid → namespace, name.
    pods: HashMap<String, (String, String)>,
}

impl Names {
    /// The container with this id is called so.
    pub fn add_container(&mut self, id: String, name: String) {
        self.containers.insert(id, name);
    }

    /// The pod with this uid is called so.
    pub fn add_pod(&mut self, uid: String, namespace: String, name: String) {
        self.pods.insert(uid, (namespace, name));
    }

    /// The name of a container.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&str> {
        self.containers.get(id).map(String::as_str)
    }

    /// The same, if no other container has it: two runtimes may both call one `web`.
    #[must_use]
    pub fn only_container(&self, id: &str) -> Option<&str> {
        let name = self.container(id)?;
        let same = self.containers.values().filter(|other| *other == name).count();
        (same == 1).then_some(name)
    }

    /// Namespace and name of a pod.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<(&str, &str)> {
        self.pods.get(uid).map(|(namespace, name)| (namespace.as_str(), name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_containers_have_names_neither() {
        let mut names = Names::default();
        for (id, name) in [("1", "web"), ("2", "web"), ("3", "db")] {
            names.add_container(id.to_owned(), name.to_owned());
        }
        assert_eq!(names.container("2"), Some("web"));
        assert_eq!((names.only_container("2"), names.only_container("3")), (None, Some("db")));
        assert_eq!((names.container("4"), names.only_container("4")), (None, None));
    }
}
