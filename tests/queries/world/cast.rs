//! Who plays: containers, and processes that run for the whole time.

use super::{SECOND_NS, START_NS, Who, World};

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) image: &'static str,
    pub(crate) runtime: &'static str,
    /// Inode of its network namespace.
    pub(crate) netns: u64,
    /// Namespace and name.
    pub(crate) pod: Option<(&'static str, &'static str)>,
}

/// All of them. Names come twice.
pub(crate) const CONTAINERS: [Container; 7] = [
    Container {
        id: "9f86d081884c7d65",
        name: "web",
        image: "nginx:1.27",
        runtime: "docker",
        netns: 4_026_532_201,
        pod: None,
    },
    Container {
        id: "60303ae22b998861",
        name: "cache",
        image: "redis:7.4",
        runtime: "docker",
        netns: 4_026_532_202,
        pod: None,
    },
    Container {
        id: "fd61a03af4f77d87",
        name: "orders",
        image: "shop/orders:4.2",
        runtime: "containerd",
        netns: 4_026_532_203,
        pod: Some(("shop", "orders-0")),
    },
    Container {
        id: "a4e624d686e03ed2",
        name: "orders",
        image: "shop/orders:4.2",
        runtime: "containerd",
        netns: 4_026_532_204,
        pod: Some(("shop", "orders-1")),
    },
    Container {
        id: "ef2d127de37b942b",
        name: "coredns",
        image: "coredns:1.11",
        runtime: "containerd",
        netns: 4_026_532_205,
        pod: Some(("kube-system", "coredns-7c65d")),
    },
    Container {
        id: "3f79bb7b435b0532",
        name: "job",
        image: "shop/import:1",
        runtime: "docker",
        netns: 4_026_532_206,
        pod: None,
    },
    Container {
        id: "0bfe935e70c321c7",
        name: "job",
        image: "shop/import:1",
        runtime: "docker",
        netns: 4_026_532_207,
        pod: None,
    },
];

/// The network namespace of every machine itself: its inode is the same on all of them.
pub(crate) const HOST_NETNS: u64 = 4_026_531_840;

impl Process {
    /// Inode of its network namespace.
    pub(crate) fn netns(&self) -> u64 {
        self.container.map_or(HOST_NETNS, |container| container.netns)
    }
}

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) host: &'static str,
    pub(crate) pid: u32,
    pub(crate) start: i64,
    pub(crate) exit: Option<i64>,
    pub(crate) user: &'static str,
    pub(crate) comm: &'static str,
    pub(crate) exe: &'static str,
    pub(crate) cmdline: String,
    pub(crate) parent: &'static str,
    pub(crate) container: Option<Container>,
}

/// Those that run for the whole time, and two that share a port one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    pub(crate) nginx: Who,
    pub(crate) nginx_workers: [Who; 2],
    pub(crate) redis: Who,
    pub(crate) docker_proxy: Who,
    pub(crate) sshd: Who,
    pub(crate) sshd_session: Who,
    pub(crate) sshd_user: Who,
    pub(crate) telegraf: Who,
    pub(crate) rsync: Who,
    pub(crate) legacy: Who,
    pub(crate) metrics: Who,
    pub(crate) evil: Who,
    pub(crate) orders: [Who; 2],
    pub(crate) coredns: Who,
    pub(crate) jobs: [Who; 2],
    pub(crate) postgres: Who,
    pub(crate) backends: [Who; 2],
}

impl World {
    /// One that was there an hour before.
    fn enter(
        &mut self,
        host: &'static str,
        pid: u32,
        comm: &'static str,
        exe: &'static str,
    ) -> Who {
        self.processes.push(Process {
            host,
            pid,
            start: START_NS - 3600 * SECOND_NS + i64::from(pid) * SECOND_NS,
            exit: None,
            user: "root",
            comm,
            exe,
            cmdline: exe.to_owned(),
            parent: "/usr/lib/systemd/systemd",
            container: None,
        });
        self.processes.len() - 1
    }

    fn enter_container(
        &mut self,
        host: &'static str,
        pid: u32,
        comm: &'static str,
        exe: &'static str,
        container: usize,
    ) -> Who {
        let who = self.enter(host, pid, comm, exe);
        self.processes[who].container = Some(CONTAINERS[container]);
        self.processes[who].parent = "/usr/bin/containerd-shim-runc-v2";
        who
    }
}

impl Cast {
    pub(super) fn new(world: &mut World) -> Self {
        let (web, node, db) = ("web-1", "node-2", "db-1");
        let cast = Self {
            nginx: world.enter_container(web, 701, "nginx", "/usr/sbin/nginx", 0),
            nginx_workers: [702, 703]
                .map(|pid| world.enter_container(web, pid, "nginx", "/usr/sbin/nginx", 0)),
            redis: world.enter_container(web, 720, "redis-server", "/usr/bin/redis-server", 1),
            docker_proxy: world.enter(web, 650, "docker-proxy", "/usr/bin/docker-proxy"),
            sshd: world.enter(web, 500, "sshd", "/usr/sbin/sshd"),
            sshd_session: world.enter(web, 2210, "sshd", "/usr/sbin/sshd"),
            sshd_user: world.enter(web, 2215, "sshd", "/usr/sbin/sshd"),
            telegraf: world.enter(web, 880, "telegraf", "/usr/bin/telegraf"),
            rsync: world.enter(web, 900, "rsync", "/usr/bin/rsync"),
            legacy: world.enter(web, 3001, "legacy", "/opt/legacy/bin/legacy"),
            metrics: world.enter(web, 3100, "metrics", "/usr/bin/metrics"),
            evil: world.enter(web, 6660, "kworker\u{1b}[2J", "/tmp/.x/kworker"),
            orders: [(701, 2), (702, 3)].map(|(pid, container)| {
                world.enter_container(node, pid, "gunicorn", "/usr/bin/python3.11", container)
            }),
            coredns: world.enter_container(node, 640, "coredns", "/coredns", 4),
            jobs: [5, 6].map(|container| {
                world.enter_container(web, 1501, "import", "/usr/bin/import", container)
            }),
            postgres: world.enter(db, 702, "postgres", "/usr/lib/postgresql/15/bin/postgres"),
            backends: [710, 711]
                .map(|pid| world.enter(db, pid, "postgres", "/usr/lib/postgresql/15/bin/postgres")),
        };
        let [first, second] = cast.jobs;
        let end = START_NS + 150 * SECOND_NS;
        world.processes[first].exit = Some(end);
        world.processes[second].start = end + 60 * SECOND_NS;
        for who in cast.nginx_workers {
            world.processes[who].user = "www-data";
        }
        for who in [cast.postgres, cast.backends[0], cast.backends[1]] {
            world.processes[who].user = "postgres";
        }
        world.processes[cast.docker_proxy].cmdline = "/usr/bin/docker-proxy -proto tcp -host-ip \
            0.0.0.0 -host-port 4443 -container-ip 172.17.0.2 -container-port 8080"
            .to_owned();
        world.processes[cast.sshd_user].user = "ana";
        let evil = &mut world.processes[cast.evil];
        evil.user = "www-data";
        evil.parent = "/usr/sbin/nginx";
        evil.cmdline = "'[kworker/0:1]\n| 10.0.0.7 | ok |' \u{202e}--join\u{7}".to_owned();
        cast
    }
}
