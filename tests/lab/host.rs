//! A host with containers and a client beside it, each in a network namespace of its own, and a
//! recording of it all.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    docker::{Engine, IMAGE, LIBRARIES},
    lab::{Lab, await_that, ip},
    node::{Node, Process, ROLE},
    program::PLAY,
    recording::Recording,
    talk::Talk,
};

/// Where the host and the client are, each to the other.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Ports of the container's servers, and the host's ports that lead there.
pub(crate) const TCP: u16 = 8080;
pub(crate) const TCP_PUBLISHED: u16 = 4443;
pub(crate) const UDP: u16 = 5353;
pub(crate) const UDP_PUBLISHED: u16 = 5354;
/// Port of the client's own server.
pub(crate) const ELSEWHERE: u16 = 9000;
/// What the lab talks about, and nothing else that machines say to each other.
const FILTER: &str =
    "(tcp or udp) and (port 4443 or port 8080 or port 9000 or port 5353 or port 5354)";

/// What tcpdump writes.
const ANY: &str = "any.pcap";

/// The recorder lies beside the joiner.
pub(crate) fn ebpfrec() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_ebpfjoin")).with_file_name("ebpfrec");
    path.to_string_lossy().into_owned()
}

/// The lab under way. Fields are dropped in this order.
pub(crate) struct Host {
    tcpdump: Option<Child>,
    recording: Option<Recording>,
    pub(crate) client: Node,
    pub(crate) host: Node,
    pub(crate) web: Node,
    pub(crate) web_address: Ipv4Addr,
    _engine: Engine,
    _lab: Lab,
    next: u64,
}

impl Host {
    /// Brings up everything, servers included, and records.
    pub(crate) fn start(options: &[&str]) -> Result<Self> {
        let mut lab = Lab::new();
        let (host, client) = (lab.namespace("host")?, lab.namespace("client")?);
        ip(&[
            "-n", &host, "link", "add", "lan0", "type", "veth", "peer", "eth0", "netns", &client,
        ])?;
        for (namespace, link, address) in [(&host, "lan0", HOST), (&client, "eth0", CLIENT)] {
            ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", link])?;
            ip(&["-n", namespace, "link", "set", link, "up"])?;
        }
        ip(&["-n", &client, "route", "add", "default", "via", &HOST.to_string()])?;
        let engine = Engine::start(&host, options)?;
        let mut web = container(&engine)?;
        let web_address = engine.address("web")?;
        web.serve_tcp(SocketAddr::from(([0; 4], TCP)))?;
        web.serve_udp(SocketAddr::from(([0; 4], UDP)))?;
        let (mut client_node, host_node) =
            (Node::in_namespace(&client)?, Node::in_namespace(&host)?);
        client_node.serve_tcp(SocketAddr::from(([0; 4], ELSEWHERE)))?;
        let recording = record(&host, &client, &engine)?;
        let tcpdump = tcpdump(&host, recording.folder())?;
        Ok(Self {
            tcpdump: Some(tcpdump),
            recording: Some(recording),
            client: client_node,
            host: host_node,
            web,
            web_address,
            _engine: engine,
            _lab: lab,
            next: 0,
        })
    }

    /// A number for the next talk.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The host's address in the containers' network.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        let [a, b, _, _] = self.web_address.octets();
        Ipv4Addr::new(a, b, 0, 1)
    }

    /// The process that serves `port` for docker at the address `at`.
    pub(crate) fn proxy(&self, at: &str, port: u16) -> Result<Process> {
        let want = [
            &["-host-ip", at, "-host-port", &port.to_string()][..],
            &["-container-ip", &self.web_address.to_string()],
        ]
        .concat()
        .join("\0");
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path();
            let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let is_proxy = line.split('\0').next().is_some_and(|exe| exe.ends_with("docker-proxy"));
            if is_proxy && line.contains(&want) && self.is_ours(&path)? {
                let name = path.file_name().and_then(|name| name.to_str());
                let pid = name.context("a number")?.parse()?;
                return Ok(Process { pid, container: None });
            }
        }
        anyhow::bail!("no docker-proxy for {at}:{port}")
    }

    /// Of this lab, and not of another one that runs beside it.
    fn is_ours(&self, process: &Path) -> Result<bool> {
        let namespace = |path: &Path| std::fs::read_link(path.join("ns/net")).ok();
        let own = Path::new("/proc").join(self.host.process.pid.to_string());
        Ok(namespace(process) == namespace(&own))
    }

    /// Ends the recording, and holds both its captures against the talks.
    pub(crate) fn check(mut self, talks: &[Talk]) -> Result<()> {
        let tcpdump = self.tcpdump.take().context("ended once")?;
        let recording = self.recording.take().context("ended once")?;
        end(tcpdump, &recording.folder().join(ANY))?;
        let finished = recording.finish()?;
        ensure!(finished.stderr.contains("lost     nothing"), "{}", finished.stderr);
        for capture in ["t.pcap", ANY] {
            let packets = crate::packets::join(&finished.path(""), capture, &[])?;
            let checked = crate::packets::check(&packets, talks, capture != ANY)
                .with_context(|| capture.to_owned());
            if checked.is_err() && std::env::var_os("LAB_KEEP").is_some() {
                let kept = std::env::temp_dir().join("lab-kept");
                Command::new("cp").arg("-r").arg(finished.path("")).arg(&kept).status()?;
                eprintln!("kept in {}", kept.display());
            }
            checked?;
        }
        Ok(())
    }
}

/// A container called `web` with this executable as a node.
fn container(engine: &Engine) -> Result<Node> {
    let own = std::env::current_exe()?;
    let mount = format!("{}:/node:ro", own.display());
    let ports = [format!("{TCP_PUBLISHED}:{TCP}"), format!("{UDP_PUBLISHED}:{UDP}/udp")];
    let args = [
        &["run", "-i", "--name", "web", "-p", &ports[0], "-p", &ports[1], "-v", &mount],
        &LIBRARIES[..],
        &[IMAGE, "/node", PLAY, ROLE],
    ]
    .concat();
    let mut node = Node::start(engine.command(&args))?;
    node.process = Process { pid: engine.pid("web")?, container: Some("web") };
    Ok(node)
}

/// Records events, and packets on every interface there is.
fn record(host: &str, client: &str, engine: &Engine) -> Result<Recording> {
    let links = ip(&["-n", host, "-o", "link"])?;
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    let mut places: Vec<_> = names
        .map(|name| format!("netns:{host}/{}", name.split('@').next().unwrap_or(name)))
        .collect();
    ensure!(places.len() == 4, "lo, lan0, docker0 and the container's: {links}");
    places.push(format!("netns:{client}/eth0"));
    places.extend(["container:web/eth0", "container:web/lo"].map(str::to_owned));
    let socket = engine.socket();
    let mut args = vec!["--events", "ev.parquet", "--packets", "t.pcap", "-f", FILTER];
    args.extend(["--runtime-socket", socket.to_str().context("a plain path")?]);
    for place in &places {
        args.extend(["-i", place]);
    }
    Recording::start(&ebpfrec(), &args)
}

/// Captures on all interfaces of the host at once, as people do.
fn tcpdump(host: &str, folder: &Path) -> Result<Child> {
    let capture = folder.join(ANY);
    let child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{host}"))
        .args([
            "tcpdump",
            "-i",
            "any",
            "--immediate-mode",
            "-s",
            "256",
            "-B",
            "65536",
            "-U",
            "-Z",
            "root",
            "-w",
        ])
        .arg(&capture)
        .arg(FILTER)
        .stderr(Stdio::null())
        .spawn()
        .context("tcpdump(1) is needed")?;
    await_that("tcpdump captures", || {
        std::fs::metadata(&capture).is_ok_and(|file| file.len() > 0)
    })?;
    Ok(child)
}

/// Lets tcpdump write what it has seen: what it has not read when it is told to end is lost.
fn end(mut child: Child, capture: &Path) -> Result<()> {
    let mut before = 0;
    await_that("tcpdump has written everything", || {
        std::thread::sleep(Duration::from_millis(100));
        let length = std::fs::metadata(capture).map_or(0, |file| file.len());
        std::mem::replace(&mut before, length) == length
    })?;
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("pid 0")?;
    kill_process(pid, Signal::INT)?;
    ensure!(child.wait()?.success(), "tcpdump failed");
    Ok(())
}
