//! Which container a process is in.

mod cgroup;

pub use self::cgroup::{Container, Membership, membership};
