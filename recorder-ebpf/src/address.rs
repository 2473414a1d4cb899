//! Addresses as the records carry them: 16 bytes in network order, IPv4 as IPv4-mapped, all zero
//! for the wildcard. The contexts give them as words in network order.

use schema::wire::{FAMILY_V4, FAMILY_V6, Record};

/// `AF_INET`.
pub(crate) const AF_INET: u32 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u32 = 10;

/// Third word of an IPv4-mapped address (`::ffff:a.b.c.d`).
const MAPPED: u32 = 0xffff_u32.to_be();

/// One end of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    /// The address's words, network byte order.
    words: [u32; 4],
    /// Host byte order.
    pub(crate) port: u16,
    /// `FAMILY_V4` also for an IPv4-mapped address; the wildcard of an IPv6 socket is `FAMILY_V6`.
    pub(crate) family: u8,
    /// Zero: older kernels let no byte out of a program that it has not written.
    reserved: u8,
}

impl Endpoint {
    /// None.
    pub(crate) const NONE: Self = Self { words: [0; 4], port: 0, family: 0, reserved: 0 };

    /// `ip` in network byte order, `port` in host byte order.
    #[inline(always)]
    pub(crate) fn v4(ip: u32, port: u16) -> Self {
        let third = if ip == 0 { 0 } else { MAPPED };
        Self { words: [0, 0, third, ip], port, family: FAMILY_V4, reserved: 0 }
    }

    /// `words` in network byte order, `port` in host byte order.
    #[inline(always)]
    pub(crate) fn v6(words: [u32; 4], port: u16) -> Self {
        let mapped = words[0] | words[1] == 0 && words[2] == MAPPED;
        let family = if mapped { FAMILY_V4 } else { FAMILY_V6 };
        Self { words, port, family, reserved: 0 }
    }

    /// The address's bytes.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> [u8; 16] {
        bytemuck::cast(self.words)
    }
}

/// Writes the local end into `record`.
#[inline(always)]
pub(crate) fn set_local(record: &mut Record, local: Endpoint) {
    record.family = local.family;
    record.local_addr = local.bytes();
    record.local_port = local.port;
}

/// Writes the remote end into `record`; of the local one nothing is known.
#[inline(always)]
pub(crate) fn set_remote(record: &mut Record, remote: Endpoint) {
    record.family = remote.family;
    record.remote_addr = remote.bytes();
    record.remote_port = remote.port;
}

/// Writes both ends into `record`. The family is the remote end's: a wildcard local address of an
/// IPv6 socket stands for every IPv4 address too.
#[inline(always)]
pub(crate) fn set_ends(record: &mut Record, local: Endpoint, remote: Endpoint) {
    set_local(record, local);
    set_remote(record, remote);
}
