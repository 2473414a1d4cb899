//! The table of sockets, by cookie. An entry is taken from a list that is there from the beginning,
//! and nobody sees to it that it goes with its socket; so it is for those of which some hook is sure
//! to tell the end:
//!
//! | socket | enters with | leaves with |
//! |---|---|---|
//! | made by a process | `sock_create` | `sock_release`, if it is connected also state CLOSE |
//! | accepted | PASSIVE_ESTABLISHED | state CLOSE: one that nobody takes is never released |
//! | older than the hooks, for its reader alone | the first read | `sock_release` |
//!
//! Where it is full, storage does the same more slowly.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::HashMap, macros::btf_map};

use super::Socket;

/// Sockets: 11 MiB.
const SOCKETS_MAX: usize = 65_536;

#[btf_map]
static SOCKETS: HashMap<u64, Socket, SOCKETS_MAX> = HashMap::new();

/// The entry of the socket with this cookie.
#[inline(always)]
pub(crate) fn find<'a>(cookie: u64) -> Option<&'a mut Socket> {
    // SAFETY: a map value, which outlives the program run. What is done with it is done under the
    // socket's lock, all but the end (`Socket::end_one`).
    SOCKETS.get_ptr_mut(&cookie).map(|socket| unsafe { &mut *socket })
}

/// Adds a socket that has no entry; false if there is no room.
#[inline(always)]
pub(crate) fn insert(cookie: u64, socket: &Socket) -> bool {
    SOCKETS.insert(&cookie, socket, u64::from(BPF_NOEXIST)).is_ok()
}

/// Removes the entry of the socket with this cookie.
#[inline(always)]
pub(crate) fn forget(cookie: u64) {
    // An error says that there was none.
    let _ = SOCKETS.remove(&cookie);
}
