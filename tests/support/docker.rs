//! A Docker engine of a test's own: dockerd in a network namespace that the test made, in a mount
//! namespace of its own, with its own folder and socket. The machine's own network, and an engine
//! that runs there, are left as they are.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::lab::await_that;

/// An image with nothing but busybox, which has a shell, a web server and a client.
pub(crate) const IMAGE: &str = "lab/busybox:1";

/// Where other programs of this machine find their libraries in a container.
pub(crate) const LIBRARIES: [&str; 6] =
    ["-v", "/usr/lib:/lib:ro", "-v", "/usr/lib:/usr/lib:ro", "-v", "/usr/lib64:/lib64:ro"];

/// dockerd needs the machine's cgroups, but must not see the machine's interfaces in /sys.
/// Translations that end soon are told of soon.
const START: &str = r#"
set -e
cgroups=$1; shift
mount --rbind /sys/fs/cgroup "$cgroups"
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount --rbind "$cgroups" /sys/fs/cgroup
umount -l "$cgroups"
echo 1 >/proc/sys/net/netfilter/nf_conntrack_timestamp 2>/dev/null || true
exec setpriv --pdeathsig TERM dockerd "$@"
"#;

/// An engine; it ends, with all its containers, when the test does.
pub(crate) struct Engine {
    folder: TempDir,
    daemon: Child,
}

impl Engine {
    /// Starts dockerd in the network namespace that ip(8) calls `namespace`, and gives it
    /// [`IMAGE`].
    pub(crate) fn start(namespace: &str, options: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let inside = |name: &str| folder.path().join(name);
        fs::create_dir(inside("cgroups"))?;
        let log = File::create(inside("log"))?;
        let daemon = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .args(["unshare", "-m", "--propagation", "private", "bash", "-c", START, "dockerd"])
            .arg(inside("cgroups"))
            .arg("--data-root")
            .arg(inside("data"))
            .arg("--exec-root")
            .arg(inside("exec"))
            .arg("--pidfile")
            .arg(inside("pid"))
            .args(["-H", &format!("unix://{}", inside("docker.sock").display())])
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("nsenter(1) is needed")?;
        let mut engine = Self { folder, daemon };
        engine.await_answer()?;
        engine.import()?;
        Ok(engine)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A docker(1) command, to be run or spawned.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs a docker(1) command, and returns what it says.
    pub(crate) fn docker(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("docker(1) is needed")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker {}: {}", args.join(" "), said.trim());
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// What `docker inspect` knows of a container.
    pub(crate) fn inspect(&self, container: &str, format: &str) -> Result<String> {
        self.docker(&["inspect", "-f", format, container])
    }

    /// The pid, outside, of a container's first process, once it runs.
    pub(crate) fn pid(&self, container: &str) -> Result<u32> {
        let mut pid = 0;
        await_that("the container runs", || {
            let said = self.inspect(container, "{{.State.Pid}}");
            pid = said.ok().and_then(|said| said.parse().ok()).unwrap_or(0);
            pid != 0
        })?;
        Ok(pid)
    }

    /// The container's address in the engine's own network.
    pub(crate) fn address(&self, container: &str) -> Result<std::net::Ipv4Addr> {
        let said = self.inspect(container, "{{.NetworkSettings.IPAddress}}")?;
        said.parse().with_context(|| format!("an address: {said}"))
    }

    fn await_answer(&mut self) -> Result<()> {
        let mut ended = None;
        let answers = await_that("dockerd answers", || {
            ended = self.daemon.try_wait().ok().flatten();
            ended.is_some() || self.docker(&["version"]).is_ok()
        });
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        ensure!(answers.is_ok() && ended.is_none(), "dockerd does not answer: {}", log());
        Ok(())
    }

    /// Makes [`IMAGE`] from the machine's own busybox: no registry is needed.
    fn import(&self) -> Result<()> {
        let root = self.folder.path().join("root");
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "www"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let busybox = Path::new("/bin/busybox");
        fs::copy(busybox, root.join("bin/busybox")).context("busybox-static is needed")?;
        for name in ["sh", "sleep", "httpd", "wget", "nc", "cat"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")?;
        fs::write(root.join("www/index.html"), "hello\n")?;
        let archive = self.folder.path().join("image.tar");
        let status =
            Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status()?;
        ensure!(status.success(), "tar failed");
        self.docker(&["import", &archive.to_string_lossy(), IMAGE]).map(drop)
    }

    fn end(&mut self) -> Result<()> {
        let containers = self.docker(&["ps", "-aq"])?;
        if !containers.is_empty() {
            let args = ["rm", "-f"].into_iter().chain(containers.lines()).collect::<Vec<_>>();
            self.docker(&args)?;
        }
        let pid = Pid::from_raw(i32::try_from(self.daemon.id())?).context("pid 0")?;
        kill_process(pid, Signal::TERM)?;
        self.daemon.wait()?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("dockerd did not end well: {error:#}");
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
        // Its cgroups stay behind, empty, unless another engine uses them.
        let Ok(controllers) = fs::read_dir("/sys/fs/cgroup") else { return };
        for controller in controllers.flatten() {
            let _ = fs::remove_dir(controller.path().join("docker"));
        }
        let _ = fs::remove_dir("/sys/fs/cgroup/docker");
    }
}
