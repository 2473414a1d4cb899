//! Every way between a client and a container: with docker-proxy, without it,
//! and with many clients at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;

use crate::{
    host::{CLIENT, ELSEWHERE, HOST, Host, TCP, TCP_PUBLISHED, UDP, UDP_PUBLISHED},
    live::Scenario,
    node::{End, Node, Process},
    talk::Talk,
};

/// Every scenario, by the name that the test runner shows.
pub(crate) const ALL: &[Scenario] = &[
    ("every_path_with_docker_proxy", with_proxy),
    ("every_path_without_docker_proxy", without_proxy),
    ("many_clients_through_docker_proxy", many),
];

/// Clients that talk at once, and how often.
const AT_ONCE: usize = 16;
const ROUNDS: usize = 10;

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn at(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

/// Which of the nodes begins.
#[derive(Clone, Copy)]
enum From {
    Client,
    Host,
    Web,
}

impl From {
    fn node(self, lab: &mut Host) -> &mut Node {
        match self {
            Self::Client => &mut lab.client,
            Self::Host => &mut lab.host,
            Self::Web => &mut lab.web,
        }
    }
}

/// One talk over TCP with the container's server, straight or through a proxy.
fn to_web(lab: &mut Host, from: From, to: SocketAddr, proxy: Option<Process>) -> Result<Talk> {
    let number = lab.number();
    from.node(lab).talk_tcp(number, to)?;
    let client = from.node(lab).talked(number)?;
    let server = lab.web.served(number)?;
    Ok(Talk { proto: "tcp", client, server, proxy })
}

/// The same over UDP. The server's socket has no address of its own: it is the container's.
fn datagrams(lab: &mut Host, from: From, to: SocketAddr, proxy: Option<Process>) -> Result<Talk> {
    let number = lab.number();
    from.node(lab).talk_udp(number, to)?;
    let client = from.node(lab).talked(number)?;
    let server = lab.web.served(number)?;
    let server = End { local: at(lab.web_address, UDP), ..server };
    Ok(Talk { proto: "udp", client, server, proxy })
}

/// One talk of the container with the client's server.
fn out_of_web(lab: &mut Host) -> Result<Talk> {
    let number = lab.number();
    lab.web.talk_tcp(number, at(CLIENT, ELSEWHERE))?;
    let client = lab.web.talked(number)?;
    let server = lab.client.served(number)?;
    Ok(Talk { proto: "tcp", client, server, proxy: None })
}

fn with_proxy() -> Result<()> {
    let mut host = Host::start(&[])?;
    let lab = &mut host;
    let v4 = Some(lab.proxy("0.0.0.0", TCP_PUBLISHED)?);
    let v6 = Some(lab.proxy("::", TCP_PUBLISHED)?);
    let udp = Some(lab.proxy("0.0.0.0", UDP_PUBLISHED)?);
    let (web, gateway) = (lab.web_address, lab.gateway());
    let talks = [
        to_web(lab, From::Client, at(HOST, TCP_PUBLISHED), None)?,
        to_web(lab, From::Host, at(LOCALHOST, TCP_PUBLISHED), v4)?,
        to_web(lab, From::Host, at(HOST, TCP_PUBLISHED), None)?,
        out_of_web(lab)?,
        to_web(lab, From::Web, at(HOST, TCP_PUBLISHED), v4)?,
        to_web(lab, From::Web, at(gateway, TCP_PUBLISHED), v4)?,
        to_web(lab, From::Host, at(web, TCP), None)?,
        to_web(lab, From::Host, at(Ipv6Addr::LOCALHOST, TCP_PUBLISHED), v6)?,
        to_web(lab, From::Web, at(LOCALHOST, TCP), None)?,
        datagrams(lab, From::Client, at(HOST, UDP_PUBLISHED), None)?,
        datagrams(lab, From::Host, at(LOCALHOST, UDP_PUBLISHED), udp)?,
        datagrams(lab, From::Host, at(web, UDP), None)?,
    ];
    host.check(&talks)
}

/// Translations do it all: dockerd only holds the port.
fn without_proxy() -> Result<()> {
    let mut host = Host::start(&["--userland-proxy=false"])?;
    let lab = &mut host;
    let (web, gateway) = (lab.web_address, lab.gateway());
    let talks = [
        to_web(lab, From::Client, at(HOST, TCP_PUBLISHED), None)?,
        to_web(lab, From::Host, at(LOCALHOST, TCP_PUBLISHED), None)?,
        to_web(lab, From::Host, at(HOST, TCP_PUBLISHED), None)?,
        out_of_web(lab)?,
        to_web(lab, From::Web, at(HOST, TCP_PUBLISHED), None)?,
        to_web(lab, From::Web, at(gateway, TCP_PUBLISHED), None)?,
        to_web(lab, From::Host, at(web, TCP), None)?,
        datagrams(lab, From::Client, at(HOST, UDP_PUBLISHED), None)?,
        datagrams(lab, From::Host, at(LOCALHOST, UDP_PUBLISHED), None)?,
        datagrams(lab, From::Host, at(web, UDP), None)?,
    ];
    host.check(&talks)
}

/// The proxy has as many connections with the container as with its clients, and their order says
/// nothing of which belongs to which.
fn many() -> Result<()> {
    let mut host = Host::start(&[])?;
    let lab = &mut host;
    let proxy = Some(lab.proxy("0.0.0.0", TCP_PUBLISHED)?);
    let mut talks = vec![];
    for _ in 0..ROUNDS {
        let numbers: Vec<_> = (0..AT_ONCE).map(|_| lab.number()).collect();
        for &number in &numbers {
            lab.host.talk_tcp(number, at(LOCALHOST, TCP_PUBLISHED))?;
        }
        for number in numbers {
            let (client, server) = (lab.host.talked(number)?, lab.web.served(number)?);
            talks.push(Talk { proto: "tcp", client, server, proxy });
        }
    }
    host.check(&talks)
}
