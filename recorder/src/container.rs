//! Which container a process is in, and what people call it. The id comes from the cgroup path
//! ([`membership`]) and needs nobody; names come from the container runtimes, which a thread of its
//! own asks ([`Directory`]). A runtime that is dead, slow or lies costs the names, nothing else.

mod cgroup;
mod cri;
mod details;
mod directory;
mod docker;
mod grpc;
mod http;
mod sockets;
mod table;
mod tree;
mod worker;

pub use self::{
    cgroup::{Container, Membership, membership},
    details::{Details, Pod, Port},
    directory::{Directory, LookUp, Names, Runtime, RuntimeState},
    sockets::{RuntimeSocket, runtime_sockets},
    table::Publication,
    tree::{CGROUP_ROOTS, CgroupTree},
};
