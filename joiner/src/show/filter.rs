//! Which packets are shown: those that fit every option, each of which asks about either end by
//! itself: a process that was refused and the port where nobody listened are not at the same one. Of
//! several values of one option any will do.

use std::net::IpAddr;

use schema::Endpoint;
use schema::annotation::{Annotation, Match, Process, Reason, Side};

use super::Shown;

/// What was asked for; everything, if nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Filter {
    /// Only packets that this process sent or received, or that a proxy passed on for it
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Only packets of processes of this name
    #[arg(long, value_name = "NAME")]
    comm: Vec<String>,
    /// Only packets of this container, by its name or the beginning of its id
    #[arg(long, value_name = "NAME")]
    container: Vec<String>,
    /// Only packets of this pod: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "POD")]
    pod: Vec<String>,
    /// Only packets from or to this address, or a process on the recorded host of this name
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Only packets from or to this port
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// Only packets one end of which was named so: exact, early, nat+exact and so on
    #[arg(long = "match", value_name = "MATCH", value_parser = parse_match)]
    found: Vec<Match>,
    /// Only packets one end of which has no name for this reason: no-socket, ambiguous and so on
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    reason: Vec<Reason>,
}

fn parse_match(text: &str) -> Result<Match, String> {
    Match::from_text(text).ok_or_else(|| {
        "not one of exact, early, late, listener, proxy, related, or one of these behind nat+"
            .to_owned()
    })
}

fn parse_reason(text: &str) -> Result<Reason, String> {
    Reason::from_text(text).ok_or_else(|| {
        let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("not one of {}", known.join(", "))
    })
}

impl Filter {
    /// Whether everything is to be shown.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a packet is to be shown.
    pub(super) fn takes(&self, shown: &Shown<'_>) -> bool {
        if self.is_open() {
            return true;
        }
        let ends = [true, false].map(|is_source| End::of(shown, is_source));
        let has_process =
            |fits: &dyn Fn(&Process<'_>) -> bool| ends.iter().flat_map(End::processes).any(fits);
        let has_end = |fits: &dyn Fn(&End<'_>) -> bool| ends.iter().any(fits);
        any(&self.pid, |pid| has_process(&|process| process.pid == Some(*pid)))
            && any(&self.comm, |comm| has_process(&|of| of.comm.as_deref() == Some(comm)))
            && any(&self.container, |asked| has_process(&|of| is_in_container(of, asked)))
            && any(&self.pod, |asked| has_process(&|of| is_in_pod(of, asked)))
            && any(&self.host, |name| has_end(&|end| end.is_host(name)))
            && any(&self.port, |port| has_end(&|end| end.port() == Some(*port)))
            && any(&self.found, |found| has_end(&|end| end.outcome() == Some(Ok(*found))))
            && any(&self.reason, |reason| has_end(&|end| end.outcome() == Some(Err(*reason))))
    }
}

/// One end of a packet.
struct End<'a> {
    side: Option<&'a Side<'a>>,
    endpoint: Option<Endpoint>,
}

impl<'a> End<'a> {
    fn of(shown: &'a Shown<'_>, is_source: bool) -> Self {
        let of_side = |of: &'a Annotation<'_>| if is_source { &of.src } else { &of.dst };
        let tuple = shown.packet.map(|packet| packet.tuple);
        let endpoint = tuple.map(|tuple| if is_source { tuple.src } else { tuple.dst });
        Self { side: shown.annotation.as_ref().map(of_side), endpoint }
    }

    /// The process, and the one behind it, if it is a proxy.
    fn processes(&self) -> impl Iterator<Item = &'a Process<'a>> + use<'a> {
        let behind = self.side.and_then(|side| side.via.as_ref()).map(|via| &via.process);
        self.side.map(|side| &side.process).into_iter().chain(behind)
    }

    fn is_host(&self, name: &str) -> bool {
        match (name.parse::<IpAddr>(), self.endpoint) {
            (Ok(address), Some(endpoint)) => endpoint.ip() == address,
            _ => self.processes().any(|process| process.host.as_deref() == Some(name)),
        }
    }

    fn port(&self) -> Option<u16> {
        self.endpoint.map(Endpoint::port)
    }

    fn outcome(&self) -> Option<Result<Match, Reason>> {
        self.side.map(Side::outcome)
    }
}

fn is_in_container(process: &Process<'_>, asked: &str) -> bool {
    process.container_name.as_deref() == Some(asked)
        || process.container_id.as_deref().is_some_and(|id| id.starts_with(asked))
}

fn is_in_pod(process: &Process<'_>, asked: &str) -> bool {
    process.pod.as_deref().is_some_and(|pod| {
        pod == asked || pod.split_once('/').is_some_and(|(_, name)| name == asked)
    })
}

/// Whether one of what was asked for fits, or nothing was.
fn any<T>(asked: &[T], fits: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(fits)
}
