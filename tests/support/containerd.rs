//! A containerd of a test's own with Kubernetes' container runtime interface, and as much of a
//! kubelet as it takes to start a pod.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::UnixStream;

use super::lab::await_that;

/// An image with nothing but busybox. What a sandbox runs of it sleeps.
pub(crate) const IMAGE: &str = "docker.io/lab/busybox:1";

/// A pod to be started.
pub(crate) struct Pod<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) uid: &'a str,
    /// Name of its container.
    pub(crate) container: &'a str,
    /// What that runs.
    pub(crate) command: &'a [&'a str],
}

/// Ids of what a pod became.
pub(crate) struct Started {
    pub(crate) sandbox: String,
    pub(crate) container: String,
}

/// A containerd; it ends, with all its pods, when the test does.
pub(crate) struct Containerd {
    folder: TempDir,
    daemon: Child,
    sandboxes: Vec<String>,
}

impl Containerd {
    /// Starts containerd, and gives it [`IMAGE`].
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let inside = |name: &str| folder.path().join(name);
        let config = inside("config.toml");
        fs::write(&config, configuration(folder.path()))?;
        let log = File::create(inside("log"))?;
        // Its mounts are nobody else's.
        let daemon = Command::new("unshare")
            .args(["-m", "--propagation", "slave", "setpriv", "--pdeathsig", "TERM", "containerd"])
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("unshare(1) is needed")?;
        let mut containerd = Self { folder, daemon, sandboxes: vec![] };
        containerd.await_answer()?;
        containerd.import()?;
        Ok(containerd)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    /// Starts a pod in the host's network, which needs no plugin for networks.
    pub(crate) fn run(&mut self, pod: &Pod<'_>) -> Result<Started> {
        let text = str::to_owned;
        let parent = format!("/kubepods/burstable/pod{}", pod.uid);
        let options = NamespaceOptions { network: NODE };
        let config = SandboxConfig {
            metadata: Some(SandboxMetadata {
                name: text(pod.name),
                uid: text(pod.uid),
                namespace: text(pod.namespace),
            }),
            linux: Some(LinuxSandbox {
                cgroup_parent: parent,
                security: Some(Security { options: Some(options.clone()), ..Security::default() }),
            }),
        };
        let request = RunPodSandbox { config: Some(config.clone()) };
        let sandbox = self.call::<Id>("RunPodSandbox", &request)?.id;
        self.sandboxes.push(sandbox.clone());
        let request = CreateContainer {
            sandbox: sandbox.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerMetadata { name: text(pod.container) }),
                image: Some(Image { image: text(IMAGE) }),
                command: pod.command.iter().copied().map(text).collect(),
                linux: Some(LinuxContainer {
                    security: Some(Security {
                        container_options: Some(options),
                        ..Security::default()
                    }),
                }),
            }),
            sandbox_config: Some(config),
        };
        let container = self.call::<Id>("CreateContainer", &request)?.id;
        self.call::<Empty>("StartContainer", &Id { id: container.clone() })?;
        Ok(Started { sandbox, container })
    }

    fn call<T: Message + Default>(&self, method: &str, request: &impl Message) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(call(&self.socket(), method, request))
    }

    fn await_answer(&mut self) -> Result<()> {
        let mut ended = None;
        let answers = await_that("containerd answers", || {
            ended = self.daemon.try_wait().ok().flatten();
            ended.is_some() || self.call::<Empty>("Version", &Empty {}).is_ok()
        });
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        ensure!(answers.is_ok() && ended.is_none(), "containerd does not answer: {}", log());
        Ok(())
    }

    /// Makes [`IMAGE`] from the machine's own busybox, as an archive of `docker save`.
    fn import(&self) -> Result<()> {
        let folder = self.folder.path().join("image");
        let (root, layer) = (self.folder.path().join("root"), folder.join("layer.tar"));
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(&folder)?;
        for name in ["etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir(root.join(name))?;
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).context("busybox-static is needed")?;
        for name in ["sh", "sleep", "nc"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
        }
        tar(&layer, &root, &["."])?;
        let sum = Command::new("sha256sum").arg(&layer).output()?.stdout;
        let sum = String::from_utf8(sum)?;
        let digest = sum.split(' ').next().context("a sum")?;
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Cmd": ["/bin/sleep", "100000"], "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        fs::write(folder.join("config.json"), config.to_string())?;
        let manifest = serde_json::json!([
            { "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }
        ]);
        fs::write(folder.join("manifest.json"), manifest.to_string())?;
        let archive = self.folder.path().join("image.tar");
        tar(&archive, &folder, &["manifest.json", "config.json", "layer.tar"])?;
        let output = Command::new("ctr")
            .arg("-a")
            .arg(self.socket())
            .args(["-n", "k8s.io", "image", "import"])
            .arg(&archive)
            .output()
            .context("ctr(1) is needed")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ctr image import: {said}");
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.sandboxes) {
            self.call::<Empty>("StopPodSandbox", &Id { id: id.clone() })?;
            self.call::<Empty>("RemovePodSandbox", &Id { id })?;
        }
        let pid = Pid::from_raw(i32::try_from(self.daemon.id())?).context("pid 0")?;
        kill_process(pid, Signal::TERM)?;
        self.daemon.wait()?;
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("containerd did not end well: {error:#}");
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
        // Cgroups stay behind, empty.
        let status = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/kubepods*"])
            .args(["-exec", "rmdir", "--ignore-fail-on-non-empty", "{}", "+"])
            .stderr(Stdio::null())
            .status();
        drop(status);
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
version = 2
root = "{folder}/lib"
state = "{folder}/run"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
restrict_oom_score_adj = true
"#
    )
}

fn tar(archive: &Path, folder: &Path, names: &[&str]) -> Result<()> {
    let status =
        Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(archive).args(names).status()?;
    ensure!(status.success(), "tar failed");
    Ok(())
}

async fn call<T: Message + Default>(
    socket: &Path,
    method: &str,
    request: &impl Message,
) -> Result<T> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let driver = tokio::spawn(connection);
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from([&[0], &length[..], &message].concat())))?;
    let response = sender.send_request(request).await?;
    let mut headers = response.headers().clone();
    let body = response.into_body().collect().await?;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    let body = body.to_bytes();
    driver.abort();
    if headers.get("grpc-status").is_some_and(|status| status != "0") {
        bail!("{method}: {:?}", headers.get("grpc-message"));
    }
    Ok(T::decode(body.get(5..).unwrap_or_default())?)
}

/// The network of the host.
const NODE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// A container or a sandbox.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandbox {
    #[prost(message, optional, tag = "1")]
    config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<SandboxMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxSandbox {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOptions {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<Image>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainer {
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
}

/// Of a sandbox (namespaces in field 1) and of a container (field 3).
#[derive(Clone, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "1")]
    options: Option<NamespaceOptions>,
    #[prost(message, optional, tag = "3")]
    container_options: Option<NamespaceOptions>,
}
