//! The processes of the host.

use super::random::mix;

/// How many there are.
pub(super) const PROCESSES: u64 = 200;
/// One in so many runs in a container of a pod.
const CONTAINERS: u64 = 5;

/// One of them.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) comm: &'static str,
    pub(super) exe: &'static str,
    pub(super) cmdline: String,
    pub(super) uid: u32,
    pub(super) user: &'static str,
    pub(super) cgroup: String,
    pub(super) container: Option<Container>,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: &'static str,
    pub(super) pod: String,
}

/// Name, program, user.
const PROGRAMS: [(&str, &str, &str); 8] = [
    ("nginx", "/usr/sbin/nginx", "www-data"),
    ("postgres", "/usr/lib/postgresql/17/bin/postgres", "postgres"),
    ("curl", "/usr/bin/curl", "ana"),
    ("java", "/usr/lib/jvm/java-21-openjdk-amd64/bin/java", "app"),
    ("python3", "/usr/bin/python3.13", "app"),
    ("sshd-session", "/usr/lib/openssh/sshd-session", "root"),
    ("node", "/usr/bin/node", "app"),
    ("systemd-resolve", "/usr/lib/systemd/systemd-resolved", "systemd-resolve"),
];

/// All of them, by number.
pub(super) fn all() -> Vec<Process> {
    (0..PROCESSES).map(process).collect()
}

fn process(number: u64) -> Process {
    let kind = number as usize % PROGRAMS.len();
    let (comm, exe, user) = PROGRAMS[kind];
    let pid = 700 + number as u32 * 37;
    let container = number.is_multiple_of(CONTAINERS).then(|| Container {
        id: (0..4).map(|part| format!("{:016x}", mix(number * 4 + part))).collect(),
        name: format!("{comm}-{number}"),
        image: "registry.example.org/team/service:1.4.2",
        pod: format!("service-{number}-{:05x}", mix(number) & 0xf_ffff),
    });
    Process {
        pid,
        comm,
        exe,
        cmdline: format!("{exe} --config /etc/{comm}/instance-{number}.conf --workers 4"),
        uid: if user == "root" { 0 } else { 100 + kind as u32 },
        user,
        cgroup: match &container {
            Some(container) => format!("/system.slice/docker-{}.scope", container.id),
            None => format!("/system.slice/{comm}@{number}.service"),
        },
        container,
    }
}
