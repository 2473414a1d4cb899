//! Socket storage: it lives as long as the socket, and an accepted socket starts with a copy of its
//! listener's. The kernel takes two allocations for each, so only those have one that need it:
//! listeners, what they accept, and whatever the [table](super::table) is not for.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::generated::bpf_sk_storage_get,
};
use schema::wire::DROP_OWNERS;

use super::Socket;
use crate::maps::count_drop;

/// Flags of the storage map: both are what the kernel asks for, respectively what makes an
/// accepted socket inherit.
const STORAGE_FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;
/// `BPF_MAP_TYPE_SK_STORAGE`.
const SK_STORAGE: usize = 24;

/// Map definition in the form loaders read from BTF: the numbers are lengths of arrays that a
/// pointer could point to.
#[repr(C)]
struct StorageMap {
    r#type: *const [i32; SK_STORAGE],
    key: *const i32,
    value: *const Socket,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; STORAGE_FLAGS],
}

// SAFETY: the pointers are null and never followed; only the address of the static is used.
unsafe impl Sync for StorageMap {}

#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "STORAGE")]
static STORAGE: StorageMap = StorageMap {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

/// What is remembered about `sk`, which is the context itself in `cgroup/sock` programs and the
/// context's `sk` in the others.
///
/// # Safety
///
/// `sk` must be such a pointer, and not null.
#[inline(always)]
pub(crate) unsafe fn get<'a>(sk: *mut c_void) -> Option<&'a mut Socket> {
    // SAFETY: the caller vouches for `sk`; the helper returns null or a value that lives as long
    // as the socket, which outlives the program run.
    unsafe { bpf_sk_storage_get(map(), sk, ptr::null_mut(), 0).cast::<Socket>().as_mut() }
}

/// Like [`get`], and starts with `initial` if nothing is remembered yet. `None` only if there is
/// no memory, which is counted.
///
/// # Safety
///
/// As for [`get`].
#[inline(always)]
pub(crate) unsafe fn get_or_insert<'a>(
    sk: *mut c_void,
    initial: &mut Socket,
) -> Option<&'a mut Socket> {
    let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: as in `get`; the helper copies `initial`.
    let found = unsafe {
        bpf_sk_storage_get(map(), sk, ptr::from_mut(initial).cast(), flags)
            .cast::<Socket>()
            .as_mut()
    };
    if found.is_none() {
        count_drop(DROP_OWNERS);
    }
    found
}

#[inline(always)]
fn map() -> *mut c_void {
    ptr::from_ref(&STORAGE).cast_mut().cast()
}
