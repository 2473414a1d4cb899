//! Fields of a header, and what follows it. Whatever is not there was cut by the snap length.

use super::Undecoded;

/// The 16 bits at `offset`, in network order.
#[inline]
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Undecoded> {
    array_at(bytes, offset).map(u16::from_be_bytes)
}

/// The `N` bytes at `offset`.
#[inline]
pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Undecoded> {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().ok_or(Undecoded::Truncated)
}

/// What follows the first `offset` bytes.
#[inline]
pub(super) fn after(bytes: &[u8], offset: usize) -> Result<&[u8], Undecoded> {
    bytes.get(offset..).ok_or(Undecoded::Truncated)
}
