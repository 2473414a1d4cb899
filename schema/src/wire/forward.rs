//! What the kernel programs remember of the descriptors of forwarders: processes that move data
//! between two of their sockets with splice(2). The recorder fills in the pipes that were there
//! before.
//!
//! ```text
//! Descriptor, 32 bytes        Contents, 16 bytes
//!   0 since_ns  8 id            0 source  8 bytes
//!  16 source   24 kind  28 closed
//! ```

use bytemuck::{Pod, Zeroable};

/// [`Descriptor::kind`]: of what it is has not been seen.
pub const DESCRIPTOR_UNKNOWN: u32 = 0;
/// [`Descriptor::kind`]: of the TCP socket whose cookie is `id`.
pub const DESCRIPTOR_SOCKET: u32 = 1;
/// [`Descriptor::kind`]: of one end of the pipe `id`, which is the key of its reading end.
pub const DESCRIPTOR_PIPE: u32 = 2;

/// Key of a process's descriptor.
#[must_use]
pub const fn descriptor_key(pid: u32, number: u32) -> u64 {
    (pid as u64) << 32 | number as u64
}

/// What is known of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Descriptor {
    /// When the number was given out, `CLOCK_BOOTTIME` nanoseconds; 0 if nobody saw it.
    pub since_ns: u64,
    /// Of which socket or pipe, by `kind`.
    pub id: u64,
    /// Of an unknown one: the socket whose data was moved to it; 0 if none was, [`SEVERAL`] if
    /// those of more than one were.
    pub source: u64,
    /// `DESCRIPTOR_*`.
    pub kind: u32,
    /// With `source`: how many sockets the process had closed by then of which the descriptor was
    /// not known, wrapping. Since this could have been one of them, `source` holds until the next.
    pub closed: u32,
}

/// In the place of a socket's cookie: more than one.
pub const SEVERAL: u64 = u64::MAX;

/// What is in a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Contents {
    /// The socket all of it came from; 0 if it did not come from one socket.
    pub source: u64,
    /// How much there is.
    pub bytes: u64,
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Descriptor>() == 32 && align_of::<Descriptor>() == 8);
    assert!(offset_of!(Descriptor, source) == 16);
    assert!(offset_of!(Descriptor, kind) == 24);
    assert!(size_of::<Contents>() == 16 && align_of::<Contents>() == 8);
};
