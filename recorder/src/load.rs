//! Puts the kernel programs in place and takes them away again. Each program is loaded and attached
//! on its own, so that one the kernel refuses is reported by name and the rest goes on; dropping
//! [`Probes`] detaches them all.

mod cgroup;
mod copies;
mod error;
mod forwarders;
mod hooks;
mod misses;
mod mount;
mod peers;
mod ring;
mod tracepoint;

use std::fmt;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::trace_point::TracePointLink,
};
use rustix::thread::{CapabilitySet, capabilities};
use schema::wire::{DROP_OWNERS, DROP_PEERS, DROP_RING};

use self::hooks::Attached;
pub use self::{
    error::LoadError,
    forwarders::ForwarderName,
    hooks::{Hook, HookStatus},
    peers::PeerTable,
    ring::{Reader, Ring},
};

// The object is built for little-endian kernels, and reads tracepoints whose fields are as wide as
// on a 64-bit one.
#[cfg(any(target_endian = "big", not(target_pointer_width = "64")))]
compile_error!(
    "ebpfrec needs a 64-bit little-endian machine: its kernel programs are built for that alone"
);

/// The kernel programs, built by `make probes`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../probes/probes.o");

/// Bytes of the ring unless told otherwise: 50,000 records, about a second of everything a busy
/// host does, should the recorder not get to run that long.
pub const DEFAULT_RING_BYTES: u32 = 8 << 20;

/// How the kernel programs are set up.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Size of the ring buffer, bytes; a power of two, at least a page.
    pub ring_bytes: u32,
    /// Programs that move data between their sockets.
    pub forwarders: &'a [ForwarderName],
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { ring_bytes: DEFAULT_RING_BYTES, forwarders: &[] }
    }
}

/// What the kernel programs had to give up, since they were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Records the ring had no room for.
    pub ring: u64,
    /// Datagrams not counted because the peer table was full.
    pub peers: u64,
    /// Sockets whose owner could not be stored.
    pub owners: u64,
    /// Calls of a tracepoint that no program of ours was started for, at most.
    pub hooks: u64,
}

/// The attached kernel programs and the maps they share with us.
pub struct Probes {
    // Held for the links in it: dropping it detaches the programs.
    _ebpf: Ebpf,
    // Likewise for those of which there are copies.
    _copies: Vec<TracePointLink>,
    hooks: Vec<Hook>,
    misses: misses::Misses,
    ring: Option<Ring>,
    drops: PerCpuArray<MapData, u64>,
    peers: HashMap<MapData, peers::KeyWords, peers::RecordWords>,
}

/// Loads and attaches the kernel programs.
///
/// `Ok` also if some are missing, required ones included: see [`Probes::hooks`] and
/// [`Probes::missing_required`].
///
/// # Errors
/// No privilege, no cgroup v2 tree of the host, no ring buffer in this kernel, or a ring size it
/// refuses.
pub fn load(options: &LoadOptions<'_>) -> Result<Probes, LoadError> {
    check_ring_bytes(options.ring_bytes)?;
    check_privilege()?;
    let mut ebpf = EbpfLoader::new()
        // The programs read no kernel structures, so the kernel's own types are of no use.
        .btf(None)
        .map_max_entries("EVENTS", options.ring_bytes)
        .load(OBJECT)
        .map_err(error::from_maps)?;
    let awake = Array::try_from(take_map(&mut ebpf, "AWAKE")?)?;
    let events = RingBuf::try_from(take_map(&mut ebpf, "EVENTS")?)?;
    let ring = Ring::new(events, awake).map_err(LoadError::Wait)?;
    let drops = PerCpuArray::try_from(take_map(&mut ebpf, "DROPS")?)?;
    let peers = HashMap::try_from(take_map(&mut ebpf, "PEERS")?)?;
    let mut forwarders = forwarders::Forwarders::take(&mut ebpf)?;
    let root = cgroup::open_root()?;
    forwarders.watch(options.forwarders)?;
    let Attached { hooks, links, misses } = hooks::attach_all(&mut ebpf, &root);
    if hooks::tell_forwards(&hooks) {
        forwarders.adopt(options.forwarders);
    } else {
        // What the others tell could be wrong.
        forwarders.forget(options.forwarders);
    }
    Ok(Probes { _ebpf: ebpf, _copies: links, hooks, misses, ring: Some(ring), drops, peers })
}

impl Probes {
    /// Every hook, attached or not, in a fixed order.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// The required hooks that are not attached: without any of these a recording would be wrong
    /// rather than incomplete.
    pub fn missing_required(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(|hook| hook.required && !hook.status.is_attached())
    }

    /// Whether the ring tells of every new process and every new program of a process.
    #[must_use]
    pub fn tell_processes(&self) -> bool {
        hooks::tell_processes(&self.hooks)
    }

    /// The ring buffer, to be read by one thread.
    ///
    /// # Panics
    /// When called a second time.
    #[must_use]
    pub fn take_ring(&mut self) -> Ring {
        self.ring.take().expect("the ring is taken once")
    }

    /// What was dropped so far, summed over all CPUs.
    ///
    /// # Errors
    /// The kernel refused to read the map, or to tell of its programs.
    pub fn drops(&self) -> Result<Drops, LoadError> {
        let sum = |index| -> Result<u64, LoadError> {
            Ok(self.drops.get(&index, 0)?.iter().fold(0, |sum, count| count.saturating_add(sum)))
        };
        Ok(Drops {
            ring: sum(DROP_RING)?,
            peers: sum(DROP_PEERS)?,
            owners: sum(DROP_OWNERS)?,
            hooks: self.misses.count().map_err(LoadError::Programs)?,
        })
    }

    /// The datagrams counted per peer of an unconnected UDP socket.
    pub fn peers(&mut self) -> PeerTable<'_> {
        PeerTable::new(&mut self.peers)
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

/// Asks before the kernel does, because a missing capability can look like anything there: without
/// `CAP_PERFMON` it is "this program cannot use that helper".
fn check_privilege() -> Result<(), LoadError> {
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
    match capabilities(None) {
        Ok(sets)
            if !sets.effective.contains(needed)
                && !sets.effective.contains(CapabilitySet::SYS_ADMIN) =>
        {
            Err(LoadError::NoPrivilege)
        }
        // Who cannot even ask will hear it from the kernel.
        _ => Ok(()),
    }
}

fn check_ring_bytes(bytes: u32) -> Result<(), LoadError> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    if bytes.is_power_of_two() && bytes >= page {
        Ok(())
    } else {
        Err(LoadError::RingBytes { bytes, page })
    }
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    ebpf.take_map(name).ok_or(LoadError::NoMap { name })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use schema::wire::{PeerKey, Record, RecordKind};

    use super::*;

    #[test]
    fn a_ring_size_the_kernel_would_refuse_is_named() {
        for bytes in [0, 1, 4095, 3 << 20] {
            let error = check_ring_bytes(bytes).expect_err("not a size for a ring");
            let page = rustix::param::page_size();
            assert_eq!(
                error.to_string(),
                format!(
                    "a ring of {bytes} bytes is not possible: give a power of two of at least {page}"
                )
            );
        }
        assert!(check_ring_bytes(DEFAULT_RING_BYTES).is_ok());
    }

    #[test]
    fn every_required_hook_attaches_and_sees_our_own_bind() {
        let mut probes = match load(&LoadOptions { ring_bytes: 1 << 20, ..LoadOptions::default() })
        {
            Ok(probes) => probes,
            Err(error) if std::env::var_os(crate::REQUIRE_LIVE).is_none() => {
                eprintln!("skipped: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(probes.missing_required().map(|hook| hook.name).collect::<Vec<_>>(), [""; 0]);
        let mut ring = probes.take_ring();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let own = socket.local_addr().expect("bound");
        socket.send_to(b"to myself", own).expect("loopback");
        let key = PeerKey {
            socket_cookie: 0,
            remote_addr: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
            remote_port: own.port(),
            kind: RecordKind::UdpSend as u8,
            reserved: [0; 5],
        };
        let mut seen = Vec::new();
        ring.drain(|bytes| {
            // The others are about processes.
            let Some(record) = Record::from_bytes(bytes) else { return };
            if record.local_port == own.port() && record.pid == std::process::id() {
                seen.push((record.kind(), record.socket_cookie));
            }
        });
        let cookie = seen.first().expect("the bind").1;
        assert_eq!(
            seen,
            [(Some(RecordKind::UdpBind), cookie), (Some(RecordKind::UdpSend), cookie)]
        );

        let key = PeerKey { socket_cookie: cookie, ..key };
        socket.send_to(b"again", own).expect("loopback");
        let mut peers = probes.peers();
        assert_eq!(peers.get(&key).expect("a map").map(|peer| peer.count), Some(2));
        assert!(peers.iter().any(|peer| peer.expect("a map").0 == key));
        assert!(peers.remove(&key).expect("a map"));
        assert!(!peers.remove(&key).expect("a map"));
        assert!(peers.get(&key).expect("a map").is_none());
        let drops = probes.drops().expect("counters");
        assert_eq!((drops.owners, drops.hooks), (0, 0));
    }

    #[test]
    fn the_ring_can_be_read_by_a_thread_of_its_own() {
        fn assert_send<T: Send>() {}
        assert_send::<Ring>();
        assert_send::<Probes>();
    }
}
