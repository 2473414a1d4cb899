//! BSD loopback (`LINKTYPE_NULL`, `LINKTYPE_LOOP`): an address family, then the packet; and what BSD
//! decrypted or will encrypt (`LINKTYPE_ENC`): a family, eight bytes about the encryption, the packet.

use crate::decode::Undecoded;
use crate::decode::bytes::after;

/// `AF_INET`, everywhere.
const AF_INET: u32 = 2;
/// `AF_INET6` of Linux, FreeBSD, macOS, and NetBSD/OpenBSD.
const AF_INET6: [u32; 4] = [10, 28, 30, 24];

/// NULL has the family in the byte order of the machine that captured, LOOP in network order: the
/// families are small numbers, so either order tells itself apart.
pub(super) fn payload(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    let (family, packet) = bytes.split_first_chunk().ok_or(Undecoded::Truncated)?;
    let is_ip = |family: u32| family == AF_INET || AF_INET6.contains(&family);
    if is_ip(u32::from_le_bytes(*family)) || is_ip(u32::from_be_bytes(*family)) {
        Ok(packet)
    } else {
        Err(Undecoded::NotIp)
    }
}

/// Behind the family stand the security association and flags.
pub(super) fn decrypted(bytes: &[u8]) -> Result<&[u8], Undecoded> {
    after(payload(bytes)?, 8)
}
