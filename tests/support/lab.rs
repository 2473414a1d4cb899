//! Network namespaces and veths of a test's own, made with ip(8), which is also the one that says
//! what they are. Everything is removed again when the test ends, well or not.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::program::PATIENCE;

/// Namespaces and interfaces whose names begin with the lab's own prefix, so that tests can run
/// side by side.
pub(crate) struct Lab {
    prefix: String,
    namespaces: Vec<String>,
    links: Vec<String>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // An interface's name has at most 15 bytes.
        let prefix = format!("e{}x{number}", std::process::id() % 100_000);
        Self { prefix, namespaces: vec![], links: vec![] }
    }

    /// Adds a namespace and returns its whole name.
    pub(crate) fn namespace(&mut self, name: &str) -> Result<String> {
        let name = format!("{}{name}", self.prefix);
        ip(&["netns", "add", &name])?;
        self.namespaces.push(name.clone());
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }

    /// Adds a veth, up, with one end here and one called `inner` in `namespace`; returns the
    /// name of the end here.
    pub(crate) fn veth(&mut self, name: &str, namespace: &str, inner: &str) -> Result<String> {
        let outer = format!("{}{name}", self.prefix);
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", inner, "netns", namespace])?;
        self.links.push(outer.clone());
        ip(&["link", "set", &outer, "up"])?;
        ip(&["-n", namespace, "link", "set", inner, "up"])?;
        Ok(outer)
    }

    /// Takes the namespace's name away: it lasts as long as somebody uses it.
    pub(crate) fn forget(&mut self, namespace: &str) -> Result<()> {
        self.namespaces.retain(|name| name != namespace);
        ip(&["netns", "del", namespace]).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What the test removed already can't be removed again.
        for name in &self.namespaces {
            let _ = ip(&["netns", "del", name]);
        }
        for name in &self.links {
            let _ = ip(&["link", "del", name]);
        }
    }
}

/// Runs ip(8) and returns what it says.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output().context("ip(8) is needed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The inode of a namespace that ip(8) made.
pub(crate) fn inode(namespace: &str) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(std::fs::metadata(format!("/run/netns/{namespace}"))?.ino())
}

/// Index of an interface as ip(8) shows it, in a namespace or here.
pub(crate) fn index(namespace: Option<&str>, name: &str) -> Result<u32> {
    let place = namespace.map_or(vec![], |namespace| vec!["-n", namespace]);
    let said = ip(&[&place[..], &["-o", "link", "show", "dev", name]].concat())?;
    let number = said.split(':').next().context("no index")?;
    Ok(number.trim().parse()?)
}

/// Waits until `what` is so.
pub(crate) fn await_that(name: &str, mut what: impl FnMut() -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !what() {
        ensure!(Instant::now() < until, "waited in vain: {name}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
