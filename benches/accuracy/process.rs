//! The processes of the machine. One that runs another program keeps its number.

use crate::random::Random;
use crate::world::{LENGTH_NS, SECOND};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId(pub(crate) usize);

/// What a process is called at some time, and its number: what a name is held against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) pid: u32,
    pub(crate) comm: String,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start_ns: i64,
    comm: String,
    pub(crate) cmdline: Option<String>,
    /// From then on it runs something else.
    pub(crate) exec: Option<(i64, String)>,
}

impl Process {
    pub(crate) fn name(&self, time_ns: i64) -> Name {
        let comm = match &self.exec {
            Some((exec_ns, comm)) if *exec_ns <= time_ns => comm,
            _ => &self.comm,
        };
        Name { pid: self.pid, comm: comm.clone() }
    }
}

/// Who is there.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) all: Vec<Process>,
    pub(crate) clients: Vec<ProcessId>,
    /// A listening process, then those it hands connections to.
    pub(crate) nginx: Vec<ProcessId>,
    pub(crate) postgres: Vec<ProcessId>,
    pub(crate) web: Vec<ProcessId>,
    pub(crate) api: Vec<ProcessId>,
    pub(crate) twins: [Vec<ProcessId>; 2],
    pub(crate) dns: ProcessId,
    pub(crate) statsd: ProcessId,
    /// Two that share a port.
    pub(crate) sharing: [ProcessId; 2],
    /// Two proxies: of the first it is recorded which sockets belong together.
    pub(crate) proxies: [ProcessId; 2],
}

impl Cast {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut all = vec![];
        let mut add = |comm: &str, cmdline: Option<String>| {
            let id = all.len();
            let (pid, comm) = (1000 + id as u32, format!("{comm}-{id}"));
            let start_ns = -3600 * SECOND + id as i64;
            all.push(Process { pid, start_ns, comm, cmdline, exec: None });
            ProcessId(id)
        };
        let mut group = |comm: &str, n| (0..n).map(|_| add(comm, None)).collect::<Vec<_>>();
        let clients = group("curl", 40);
        let nginx = group("nginx", 5);
        let postgres = group("postgres", 9);
        let web = group("gunicorn", 4);
        let api = group("node", 3);
        let twins = [group("blue", 4), group("green", 4)];
        let (dns, statsd) = (group("dnsmasq", 1)[0], group("statsd", 1)[0]);
        let sharing = [group("relay", 1)[0], group("rival", 1)[0]];
        let proxies = [8443, 9443].map(|port: u16| {
            let cmdline = format!(
                "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port {port} \
                 -container-ip 172.17.0.2 -container-port 80"
            );
            add("docker-proxy", Some(cmdline))
        });
        for id in proxies {
            all[id.0].comm = "docker-proxy".to_owned();
        }
        // A few become another program under way.
        for id in &clients[..8] {
            let comm = format!("wget-{}", id.0);
            all[id.0].exec = Some((random.range(0, LENGTH_NS), comm));
        }
        Self { all, clients, nginx, postgres, web, api, twins, dns, statsd, sharing, proxies }
    }
}
