//! A client, a router that translates, and a server, each in a network namespace of its own.
//!
//! ```text
//! client 10.99.0.2 ── c0 10.99.0.1 router 172.30.0.1 s0 ── 172.30.0.2 server
//! ```
//!
//! What the client sends to the router's TCP port 4443 goes to the server's 8080, its UDP ports go
//! to the server's of the same number, and what the server sends comes to the client from 10.99.0.1.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::lab::{Lab, inode, ip};

/// What the client knows the server by.
pub(crate) const PUBLISHED: &str = "10.99.0.1:4443";
/// Where the server listens.
pub(crate) const SERVER: &str = "172.30.0.2:8080";
/// The client's address.
pub(crate) const CLIENT: &str = "10.99.0.2";

/// The rules of the router, for nft(8).
const RULES: &str = r#"
table ip lab {
  chain before {
    type nat hook prerouting priority -100;
    iifname "c0" ip daddr 10.99.0.1 tcp dport 4443 dnat to 172.30.0.2:8080
    iifname "c0" ip daddr 10.99.0.1 meta l4proto udp dnat to 172.30.0.2
  }
  chain after {
    type nat hook postrouting priority 100;
    ip saddr 172.30.0.0/24 oifname "c0" masquerade
  }
}
"#;

/// The three namespaces. They go away with it.
pub(crate) struct Router {
    lab: Lab,
    pub(crate) client: String,
    pub(crate) router: String,
    pub(crate) server: String,
}

impl Router {
    pub(crate) fn new() -> Result<Self> {
        let mut lab = Lab::new();
        let [client, router, server] = ["c", "r", "s"].map(|name| lab.namespace(name));
        let (client, router, server) = (client?, router?, server?);
        let ends = [("c0", &client, "10.99.0", CLIENT), ("s0", &server, "172.30.0", "172.30.0.2")];
        for (near, far, network, address) in ends {
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", far];
            ip(&[&["-n", &router, "link", "add", near], &peer[..]].concat())?;
            let gateway = format!("{network}.1");
            ip(&["-n", &router, "addr", "add", &format!("{gateway}/24"), "dev", near])?;
            ip(&["-n", &router, "link", "set", near, "up"])?;
            ip(&["-n", far, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
            ip(&["-n", far, "link", "set", "eth0", "up"])?;
            ip(&["-n", far, "route", "add", "default", "via", &gateway])?;
        }
        let router = Self { lab, client, router, server };
        router.set(&router.router, "net/ipv4/ip_forward", "1")?;
        router.apply(RULES)?;
        Ok(router)
    }

    /// Sets a setting of a namespace.
    pub(crate) fn set(&self, namespace: &str, setting: &str, value: &str) -> Result<()> {
        let script = format!("echo '{value}' >/proc/sys/{setting}");
        ip(&["netns", "exec", namespace, "sh", "-c", &script]).map(drop)
    }

    /// Takes rules into the router, by nft(8).
    pub(crate) fn apply(&self, rules: &str) -> Result<()> {
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &self.router, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        nft.stdin.take().context("no standard input")?.write_all(rules.as_bytes())?;
        ensure!(nft.wait()?.success(), "nft(8) is needed, and a kernel that translates");
        Ok(())
    }

    /// How many connections a namespace tracks, by its own count.
    pub(crate) fn tracked(&self, namespace: &str) -> Result<u32> {
        let count = "/proc/sys/net/netfilter/nf_conntrack_count";
        Ok(ip(&["netns", "exec", namespace, "cat", count])?.trim().parse()?)
    }

    /// Inode of the router's namespace.
    pub(crate) fn inode(&self) -> Result<u64> {
        inode(&self.router)
    }

    /// Takes the router's namespace away.
    pub(crate) fn remove(&mut self) -> Result<()> {
        self.lab.forget(&self.router)
    }
}
