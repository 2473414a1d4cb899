//! Names of containers and pods, by the real runtimes; and what becomes of a recording whose runtime
//! is dead.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use schema::Kind;

use super::{
    EBPFREC,
    containerd::{self, Containerd, Pod},
    docker::{self, Engine},
    lab::{Lab, await_that, inode},
    live::Scenario,
    program::take_one,
    recording::Recording,
    rows::{EventRow, of_kind, only},
};

pub(crate) const ALL: &[Scenario] = &[
    ("pods_and_their_containers_are_named_by_cri", cri),
    ("containers_and_their_ports_are_named_by_docker", docker),
    ("a_runtime_that_never_answers_costs_names_alone", silent),
];

/// Connects to the port as soon as somebody listens, and goes on.
fn connect_to(port: u16) -> String {
    format!("until nc 127.0.0.1 {port} </dev/null; do sleep 0.1; done; sleep 1000")
}

/// The row of the connection to `port`.
fn connection(rows: &[EventRow], port: u16) -> Result<&EventRow> {
    let is_it = |row: &&&EventRow| row.remote.is_some_and(|remote| remote.port() == port);
    let connects = of_kind(rows, Kind::TcpConnect);
    connects.iter().find(is_it).copied().with_context(|| format!("no such row: {connects:#?}"))
}

fn cri() -> Result<()> {
    let mut containerd = Containerd::start()?;
    let socket = containerd.socket();
    let socket = socket.to_str().context("a plain path")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let recording =
        Recording::start(EBPFREC, &["--events", "ev.parquet", "--runtime-socket", socket])?;
    let uid = "11111111-2222-3333-4444-555555555555";
    let script = connect_to(port);
    let pod = Pod {
        name: "web-0",
        namespace: "shop",
        uid,
        container: "httpd",
        command: &["/bin/sh", "-c", &script],
    };
    let started = containerd.run(&pod)?;
    take_one(&listener)?;
    let (_, rows) = recording.finish()?.events("ev.parquet")?;
    let row = connection(&rows, port)?;
    let told = [
        &row.container_id,
        &row.container_name,
        &row.container_image,
        &row.container_runtime,
        &row.pod_name,
        &row.pod_namespace,
        &row.pod_uid,
    ];
    let truth = [
        started.container.as_str(),
        "httpd",
        containerd::IMAGE,
        "containerd",
        "web-0",
        "shop",
        uid,
    ];
    ensure!(told.map(Option::as_deref) == truth.map(Some), "{row:#?}");
    // What the pod's sandbox runs is in the pod, and in no container that has a name.
    let sandbox = rows.iter().filter(|row| row.container_id.as_deref() == Some(&started.sandbox));
    for row in sandbox {
        ensure!(
            (&row.container_name, row.pod_name.as_deref()) == (&None, Some("web-0")),
            "{row:#?}"
        );
    }
    Ok(())
}

fn docker() -> Result<()> {
    let mut lab = Lab::new();
    let host = lab.namespace("d")?;
    let engine = Engine::start(&host, &[])?;
    let socket = engine.socket();
    let socket = socket.to_str().context("a plain path")?;
    // One container is there before the recording, and one comes later.
    let run = |name: &str, more: &[&str]| {
        let args =
            [&["run", "-d", "--name", name][..], more, &[docker::IMAGE, "sh", "-c"]].concat();
        let script = "httpd -f -p 8080 -h /www & sleep 1000";
        engine.docker(&[&args[..], &[script]].concat())
    };
    let before = run("before", &["-p", "4443:8080"])?;
    let recording =
        Recording::start(EBPFREC, &["--events", "ev.parquet", "--runtime-socket", socket])?;
    let later = run("later", &["-p", "127.0.0.1:4444:8080"])?;
    for name in ["before", "later"] {
        let address = engine.address(name)?;
        let url = format!("http://{address}:8080/index.html");
        await_that("the server answers", || {
            let fetched = Command::new("nsenter")
                .arg(format!("--net=/run/netns/{host}"))
                .args(["busybox", "wget", "-q", "-O", "/dev/null", &url])
                .stderr(Stdio::null())
                .status();
            fetched.is_ok_and(|status| status.success())
        })?;
    }
    let addresses = ["before", "later"].map(|name| engine.address(name));
    let pids = ["before", "later"].map(|name| engine.pid(name));
    let finished = recording.finish()?;
    let (_, rows) = finished.events("ev.parquet")?;
    let host_netns = inode(&host)?;
    for ((((name, id), address), pid), published) in ["before", "later"]
        .into_iter()
        .zip([before, later])
        .zip(addresses)
        .zip(pids)
        .zip([("0.0.0.0", 4443), ("127.0.0.1", 4444)])
    {
        let (address, pid) = (address?.to_string(), pid?);
        // Whose an accepted connection is may be told a moment later, by its first reader.
        let is_served = |row: &&EventRow| {
            let is_its =
                |local: SocketAddr| local.ip().to_string() == address && local.port() == 8080;
            row.local.is_some_and(is_its) && row.remote.is_some() && row.pid.is_some()
        };
        let row = rows.iter().find(is_served).with_context(|| format!("{name}: {rows:#?}"))?;
        ensure!(row.container_id.as_deref() == Some(id.as_str()), "{row:#?}");
        ensure!(row.container_name.as_deref() == Some(name), "{row:#?}");
        ensure!(row.container_image.as_deref() == Some(docker::IMAGE), "{row:#?}");
        ensure!(row.container_runtime.as_deref() == Some("docker"), "{row:#?}");
        // Both of its ends of the cable are the container's.
        let links = of_kind(&rows, Kind::Interface);
        let netns = {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(format!("/proc/{pid}/ns/net"))?.ino()
        };
        let of_it: Vec<_> =
            links.iter().filter(|row| row.container_name.as_deref() == Some(name)).collect();
        let is_at = |place: u64| of_it.iter().any(|row| row.netns == Some(place));
        ensure!(is_at(netns) && is_at(host_netns), "{name}: {of_it:#?}");
        let publish = of_kind(&rows, Kind::Publish);
        let is_published = |row: &&&EventRow| {
            row.local.is_some_and(|at| (at.ip().to_string().as_str(), at.port()) == published)
        };
        let row = publish.iter().find(is_published).with_context(|| format!("{publish:#?}"))?;
        ensure!(row.nat_dst == Some(format!("{address}:8080").parse()?), "{row:#?}");
        ensure!(row.container_name.as_deref() == Some(name), "{row:#?}");
    }
    Ok(())
}

fn silent() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("dead.sock");
    // Whoever connects waits in the queue for ever.
    let _dead = UnixListener::bind(&socket)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let args = ["--events", "ev.parquet", "--runtime-socket", socket.to_str().context("a path")?];
    let recording = Recording::start(EBPFREC, &args)?;
    let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    drop(stream);
    take_one(&listener)?;
    let finished = recording.finish()?;
    ensure!(finished.stderr.contains("lost     nothing"), "{}", finished.stderr);
    let (meta, rows) = finished.events("ev.parquet")?;
    ensure!(meta.complete);
    let row = connection(&rows, port)?;
    ensure!(only(&rows, Kind::TcpConnect, std::process::id())?.seq == row.seq, "{row:#?}");
    Ok(())
}
