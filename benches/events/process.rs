//! The processes of the made-up host: most in containers with a namespace of their own, some not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schema::Event;

use crate::world::{Random, START_NS};

const PROCESSES: u64 = 300;
/// Of which so many are in containers.
const CONTAINED: u64 = 240;
/// Processes of one container.
const IN_ONE: u64 = 4;

const PROGRAMS: [(&str, &str); 6] = [
    ("nginx", "/usr/sbin/nginx"),
    ("postgres", "/usr/lib/postgresql/15/bin/postgres"),
    ("java", "/opt/java/bin/java"),
    ("node", "/usr/local/bin/node"),
    ("envoy", "/usr/local/bin/envoy"),
    ("python3", "/usr/bin/python3.11"),
];

pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start_ns: i64,
    comm: &'static str,
    pub(crate) exe: &'static str,
    pub(crate) cmdline: String,
    cgroup: String,
    container: Option<Container>,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
    pub(crate) netns: u64,
    pub(crate) netns_cookie: u64,
}

struct Container {
    id: String,
    name: String,
    image: String,
    pod: String,
}

pub(crate) fn processes(random: &mut Random) -> Vec<Process> {
    (0..PROCESSES).map(|number| process(number, random)).collect()
}

fn process(number: u64, random: &mut Random) -> Process {
    let (comm, exe) = PROGRAMS[random.below(PROGRAMS.len() as u64) as usize];
    // Zero is the host's.
    let place = if number < CONTAINED { 1 + number / IN_ONE } else { 0 };
    let container = (place != 0).then(|| Container {
        id: format!("{:016x}{:016x}{place:032x}", place * 0x9e37_79b9, place * 0x7f4a_7c15),
        name: format!("{comm}-{place}"),
        image: format!("registry.example.org/{comm}:1.{}", place % 7),
        pod: format!("{comm}-{place}-7d9f8"),
    });
    let [.., low] = place.to_be_bytes();
    Process {
        pid: 2000 + number as u32,
        start_ns: START_NS - 1_000_000_000 * number as i64,
        comm,
        exe,
        cmdline: format!("{exe} --config /etc/{comm}/{number}.conf"),
        cgroup: match &container {
            Some(container) => format!("/kubepods/burstable/pod{place}/{}", container.id),
            None => format!("/system.slice/{comm}.service"),
        },
        container,
        v4: IpAddr::V4(Ipv4Addr::new(10, 0, u8::from(place != 0), 1 + low)),
        v6: IpAddr::V6(Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, u16::from(low), 1])),
        netns: 4_026_531_840 + place,
        netns_cookie: 1 + place,
    }
}

impl Process {
    /// Fills in the columns that say which process.
    pub(crate) fn describe<'a>(&'a self, event: &mut Event<'a>) {
        event.pid = Some(self.pid);
        event.tid = Some(self.pid + self.pid % 3);
        event.uid = Some(1000);
        event.gid = Some(1000);
        event.user = Some("service");
        event.comm = Some(self.comm);
        event.exe = Some(self.exe);
        event.cmdline = Some(&self.cmdline);
        event.start_ts = Some(self.start_ns);
        event.ppid = Some(1);
        event.parent_uid = Some(0);
        event.parent_gid = Some(0);
        event.parent_comm = Some("systemd");
        event.parent_exe = Some("/usr/lib/systemd/systemd");
        event.cgroup_id = Some(4000 + self.netns_cookie);
        event.cgroup_path = Some(&self.cgroup);
        if let Some(container) = &self.container {
            event.container_id = Some(&container.id);
            event.container_name = Some(&container.name);
            event.container_image = Some(&container.image);
            event.container_runtime = Some("containerd");
            event.pod_name = Some(&container.pod);
            event.pod_namespace = Some("default");
            event.pod_uid = Some(&container.pod);
        }
    }
}
