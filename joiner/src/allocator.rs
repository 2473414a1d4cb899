//! What the C library's allocator is told before anything else. The GNU one raises by itself, up to
//! 32 MiB, the size from which a block goes back to the system when it is freed, and keeps what is
//! smaller: of what decoding ten million rows of events took, 25 MB were never seen again.

/// Bytes from which on a block goes back to the system at once. Buffers of the pipeline are smaller, or
/// there for long.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GOES_BACK: libc::c_int = 1 << 20;

/// Lets large blocks go back to the system; where there is another allocator, it does as it likes.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "no safe crate offers the setting")
)]
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two numbers, and locks what it changes. It only fails for sizes that are too large.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GOES_BACK);
    }
}
