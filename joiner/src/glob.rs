//! Patterns in the names of files and folders that no shell has expanded, because they were quoted,
//! came from a script, or there was no shell: `*`, `?`, `[a-z]` and `[!a-z]`, as sh(1) has them.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The files that `path` stands for: itself, if it has no pattern or is there by this very name;
/// otherwise all that fit, in order of their names.
///
/// # Errors
///
/// Nothing fits.
pub fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    let is_pattern = path.to_str().is_some_and(|text| text.contains(['*', '?', '[']));
    if !is_pattern || path.symlink_metadata().is_ok() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        found = found.iter().flat_map(|folder| entries(folder, component)).collect();
    }
    if found.is_empty() {
        return Err(io::Error::other("no file fits this pattern; is it in the right folder?"));
    }
    Ok(found)
}

/// What `component` stands for in `folder`.
fn entries(folder: &Path, component: Component<'_>) -> Vec<PathBuf> {
    let pattern = match component {
        Component::Normal(name) => name.to_str().filter(|name| name.contains(['*', '?', '['])),
        _ => None,
    };
    let Some(pattern) = pattern else {
        let path = folder.join(component);
        return if path.symlink_metadata().is_ok() { vec![path] } else { vec![] };
    };
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // What can't be looked into has nothing that fits.
    let listed = fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
    // Hidden files are meant only where a pattern begins as their names do.
    let mut fitting: Vec<_> = names
        .filter(|name| name.starts_with('.') == pattern.starts_with('.'))
        .filter(|name| fits(pattern, name))
        .map(|name| folder.join(name))
        .collect();
    fitting.sort();
    fitting
}

/// Whether `name` fits `pattern`. Takes at most the product of their lengths in steps.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<_> = parse(pattern);
    let name: Vec<_> = name.chars().collect();
    let (mut at, mut to) = (0, 0);
    // Where the last `*` stands, and where what follows it is tried next.
    let mut star = None;
    loop {
        match (pattern.get(at), name.get(to)) {
            (Some(Part::Any), _) => {
                star = Some((at, to));
                at += 1;
            }
            (Some(Part::One(set)), Some(&found)) if set.has(found) => {
                at += 1;
                to += 1;
            }
            (None, None) => return true,
            _ => {
                let Some((after, from)) = star.filter(|(_, from)| *from < name.len()) else {
                    return false;
                };
                star = Some((after, from + 1));
                (at, to) = (after + 1, from + 1);
            }
        }
    }
}

#[derive(Debug)]
enum Part {
    /// Any number of characters.
    Any,
    /// One of these.
    One(Set),
}

#[derive(Debug)]
struct Set {
    ranges: Vec<(char, char)>,
    is_negated: bool,
}

impl Set {
    fn has(&self, found: char) -> bool {
        let is_in = self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&found));
        is_in != self.is_negated
    }
}

fn parse(pattern: &str) -> Vec<Part> {
    let mut parts = vec![];
    let mut rest = pattern.chars();
    while let Some(first) = rest.next() {
        let only = |one| Part::One(Set { ranges: vec![(one, one)], is_negated: false });
        parts.push(match first {
            '*' => Part::Any,
            '?' => Part::One(Set { ranges: vec![], is_negated: true }),
            // Without its end it is a bracket like any other.
            '[' => match set(rest.as_str()) {
                Some((set, after)) => {
                    rest = after.chars();
                    Part::One(set)
                }
                None => only('['),
            },
            other => only(other),
        });
    }
    parts
}

/// The set whose bracket was just read, and what follows it.
fn set(text: &str) -> Option<(Set, &str)> {
    let inner = text.strip_prefix(['!', '^']);
    let is_negated = inner.is_some();
    let inner = inner.unwrap_or(text);
    // A closing bracket that comes first is one of the set.
    let first = inner.chars().next()?;
    let end = first.len_utf8() + inner[first.len_utf8()..].find(']')?;
    let mut ranges = vec![];
    let mut rest = inner[..end].chars();
    while let Some(from) = rest.next() {
        let mut ahead = rest.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                rest = ahead;
                to
            }
            _ => from,
        };
        ranges.push((from, to));
    }
    Some((Set { ranges, is_negated }, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name) in [
            ("*", "anything"),
            ("*.pcap*", "a.pcapng"),
            ("a*b*c", "a-b-b-c"),
            ("t.00000[1-3].pcapng", "t.000002.pcapng"),
            ("t.[!0]*", "t.1"),
            ("t.[^0]*", "t.1"),
            ("?", "ä"),
            ("[]x]", "]"),
            ("[a-]", "-"),
            ("[", "["),
            ("[a", "[a"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.pcap", "a.pcapng"),
            ("?", ""),
            ("?", "ab"),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("a*b", "a"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        // Would take for ever if every place of every `*` was tried.
        assert!(!fits(&"a*".repeat(40), &"a".repeat(39)));
    }

    #[test]
    fn patterns_stand_for_what_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let place = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(place(name)).expect("folder");
            for file in ["1.pcap", "2.pcap", ".hidden.pcap", "x[1]"] {
                fs::write(place(name).join(file), b"").expect("written");
            }
        }
        let expanded = |pattern: &str| {
            let found = expand(&place(pattern)).map_err(|error| error.to_string())?;
            let names = found.iter().map(|path| path.strip_prefix(folder.path()).expect("below"));
            Ok::<_, String>(names.map(|path| path.display().to_string()).collect::<Vec<_>>())
        };
        let all = ["a/1.pcap", "a/2.pcap", "b/1.pcap", "b/2.pcap"].map(str::to_owned);
        assert_eq!(expanded("?/*.pcap"), Ok(all.to_vec()));
        assert_eq!(expanded("[!a]/1*"), Ok(vec!["b/1.pcap".to_owned()]));
        assert_eq!(expanded("a/.*.pcap"), Ok(vec!["a/.hidden.pcap".to_owned()]));
        // A file of this very name.
        assert_eq!(expanded("a/x[1]"), Ok(vec!["a/x[1]".to_owned()]));
        assert_eq!(expanded("not there"), Ok(vec!["not there".to_owned()]));
        let nothing = "no file fits this pattern; is it in the right folder?".to_owned();
        assert_eq!(expanded("c/*.pcap"), Err(nothing));
    }

    proptest! {
        #[test]
        fn any_pattern_fits_or_not(pattern in "[]a*?\\[!^-]{0,12}", name in "[]a!^-]{0,8}") {
            let _ = fits(&pattern, &name);
            prop_assert!(fits("*", &name) && fits(&"?".repeat(name.chars().count()), &name));
        }
    }
}
