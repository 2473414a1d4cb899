//! User names, from `/etc/passwd` (passwd(5)). No name service is asked: that could mean traffic,
//! and traffic is what is being recorded.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How often the file is checked for a change.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Bytes read of the file: hundreds of thousands of users.
const MAX_READ: u64 = 32 << 20;

/// The names, read anew when the file changes.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    names: HashMap<u32, Arc<str>>,
    modified: Option<SystemTime>,
    checked: Option<Instant>,
}

impl Users {
    /// Names of the file at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, names: HashMap::new(), modified: None, checked: None }
    }

    /// The name of user `uid`.
    pub fn name(&mut self, uid: u32) -> Option<Arc<str>> {
        if self.checked.is_none_or(|checked| checked.elapsed() >= CHECK_EVERY) {
            self.checked = Some(Instant::now());
            self.refresh();
        }
        self.names.get(&uid).cloned()
    }

    fn refresh(&mut self) {
        let modified = fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        let mut text = Vec::new();
        let read = fs::File::open(&self.path)
            .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, MAX_READ), &mut text));
        if read.is_ok() {
            self.names = parse_passwd(&text);
            self.modified = modified;
        }
    }
}

/// User id → name; the first line of an id counts, as in getpwuid(3).
fn parse_passwd(text: &[u8]) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty());
        let uid = fields.nth(1).and_then(|uid| uid.parse().ok());
        if let (Some(name), Some(uid)) = (name, uid) {
            names.entry(uid).or_insert_with(|| Arc::from(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_counts_and_odd_lines_are_passed_over() {
        let text = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n# no\n:x:5::\nx:y\n\
            web:x:33:33\nbad:x:-1:0\n\xff:x:7:7\n+::::::\n";
        let names = parse_passwd(text);
        assert_eq!(names.len(), 3);
        assert_eq!(names[&0].as_ref(), "root");
        assert_eq!(names[&33].as_ref(), "web");
        assert_eq!(names[&7].as_ref(), "\u{fffd}");
    }

    #[test]
    fn a_missing_file_means_no_names() {
        assert_eq!(Users::new("/nowhere/passwd".into()).name(0), None);
        let root = Users::new("/etc/passwd".into()).name(0);
        assert_eq!(root.as_deref(), Some("root"));
    }
}
