//! Why some programs are attached more than once. Since Linux 7.2 (6.19 didn't) a program for a
//! system call can be preempted like the call itself, and while it is, the kernel leaves it out for
//! every other task on that CPU. On a busy CPU that is dozens of calls: the task that was preempted
//! has to wait for its turn. Each copy counts as a program of its own, so the second one sees what
//! the first one missed, unless somebody was preempted in both.
//!
//! That is for programs that do nothing when they find the work done.

/// How often a program is attached where it may be left out. What all of them miss takes as many
/// tasks, each preempted in the middle of another copy, before the first has its turn again.
const COPIES: usize = 3;
/// The first Linux that may leave programs out, as far as we know.
const SINCE: (u32, u32) = (7, 0);

/// How often to attach a program for a system call.
pub(super) fn wanted() -> usize {
    let uname = rustix::system::uname();
    // Who says something else is none that we know.
    let version = uname.release().to_str().ok().and_then(version);
    if version.is_some_and(|version| version < SINCE) { 1 } else { COPIES }
}

/// The first two numbers of a release: `6.12.118+deb13-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_the_version() {
        assert_eq!(version("6.12.118+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("next"), None);
    }
}
