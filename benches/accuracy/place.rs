//! The one recorded machine: its namespaces, interfaces and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const HOST: &str = "bench";
pub(crate) const BOOT_ID: &str = "7f0e2a52-5a0f-4a51-9c06-3d6a4a4f3c11";

/// Inodes of the namespaces.
pub(crate) const ROOT: u64 = 4_026_531_840;
pub(crate) const WEB: u64 = 4_026_532_100;
pub(crate) const API: u64 = 4_026_532_200;
/// Two with the same addresses.
pub(crate) const TWINS: [u64; 2] = [4_026_532_300, 4_026_532_400];

pub(crate) const HOST_ADDR: IpAddr = v4(192, 0, 2, 10);
pub(crate) const HOST_ADDR6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
pub(crate) const GATEWAY: IpAddr = v4(172, 17, 0, 1);
pub(crate) const WEB_ADDR: IpAddr = v4(172, 17, 0, 2);
pub(crate) const API_ADDR: IpAddr = v4(172, 17, 0, 3);
pub(crate) const TWIN_ADDR: IpAddr = v4(10, 99, 0, 2);
pub(crate) const LOOPBACK: IpAddr = v4(127, 0, 0, 1);

pub(crate) const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// A capture interface; its position in [`INTERFACES`] is its number in the capture.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) netns: u64,
    pub(crate) name: &'static str,
    pub(crate) index: u32,
    pub(crate) addresses: &'static [IpAddr],
    /// The container it serves.
    pub(crate) container: Option<&'static str>,
    /// The other end of a veth: namespace, number.
    pub(crate) peer: Option<(u64, u32)>,
}

pub(crate) const ETH0: usize = 0;
pub(crate) const LO: usize = 1;
pub(crate) const DOCKER0: usize = 2;
pub(crate) const WEB_ETH0: usize = 3;
pub(crate) const API_ETH0: usize = 4;
pub(crate) const TWIN_ETH0: [usize; 2] = [5, 6];
pub(crate) const TWIN_LO: [usize; 2] = [7, 8];
/// The host's ends of the twins' veths.
pub(crate) const TWIN_VETH: [usize; 2] = [9, 10];

pub(crate) const INTERFACES: &[Interface] = &[
    of(ROOT, "eth0", 2, &[HOST_ADDR, HOST_ADDR6]),
    of(ROOT, "lo", 1, &[LOOPBACK]),
    of(ROOT, "docker0", 3, &[GATEWAY]),
    Interface { container: Some("web"), ..of(WEB, "eth0", 2, &[WEB_ADDR]) },
    Interface { container: Some("api"), ..of(API, "eth0", 2, &[API_ADDR]) },
    Interface { peer: Some((ROOT, 20)), ..of(TWINS[0], "eth0", 2, &[TWIN_ADDR]) },
    Interface { peer: Some((ROOT, 21)), ..of(TWINS[1], "eth0", 2, &[TWIN_ADDR]) },
    of(TWINS[0], "lo", 1, &[LOOPBACK]),
    of(TWINS[1], "lo", 1, &[LOOPBACK]),
    Interface { peer: Some((TWINS[0], 2)), ..of(ROOT, "vethblue", 20, &[]) },
    Interface { peer: Some((TWINS[1], 2)), ..of(ROOT, "vethgreen", 21, &[]) },
];

const fn of(netns: u64, name: &'static str, index: u32, addresses: &'static [IpAddr]) -> Interface {
    Interface { netns, name, index, addresses, container: None, peer: None }
}
