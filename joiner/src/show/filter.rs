//! Which packets are shown: those of which either end fits everything that was asked for. Of several
//! values of one kind any will do.

use std::net::IpAddr;

use schema::annotation::{Match, Process, Reason, Side};

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
        self.is_open() || [true, false].into_iter().any(|is_source| self.fits(shown, is_source))
    }

    fn fits(&self, shown: &Shown<'_>, is_source: bool) -> bool {
        let side = shown.annotation.as_ref().map(|of| if is_source { &of.src } else { &of.dst });
        let tuple = shown.packet.map(|packet| packet.tuple);
        let end = tuple.map(|tuple| if is_source { tuple.src } else { tuple.dst });
        let processes = || {
            let behind = side.and_then(|side| side.via.as_ref()).map(|via| &via.process);
            side.map(|side| &side.process).into_iter().chain(behind)
        };
        let asked_of_process = !(self.pid.is_empty()
            && self.comm.is_empty()
            && self.container.is_empty()
            && self.pod.is_empty());
        let outcome = side.map(Side::outcome);
        let is_host = |name: &String| {
            let address = name.parse::<IpAddr>();
            match (address, end) {
                (Ok(address), Some(end)) => end.ip() == address,
                _ => processes().any(|process| process.host.as_deref() == Some(name)),
            }
        };
        (!asked_of_process || processes().any(|process| self.is_process(process)))
            && any(&self.host, is_host)
            && any(&self.port, |port| end.is_some_and(|end| end.port() == *port))
            && any(&self.found, |found| outcome == Some(Ok(*found)))
            && any(&self.reason, |reason| outcome == Some(Err(*reason)))
    }

    fn is_process(&self, process: &Process<'_>) -> bool {
        let is_pod = |asked: &String| {
            process.pod.as_deref().is_some_and(|pod| {
                pod == asked || pod.split_once('/').is_some_and(|(_, name)| name == asked)
            })
        };
        let is_container = |asked: &String| {
            process.container_name.as_deref() == Some(asked)
                || process.container_id.as_deref().is_some_and(|id| id.starts_with(asked.as_str()))
        };
        any(&self.pid, |pid| process.pid == Some(*pid))
            && any(&self.comm, |comm| process.comm.as_deref() == Some(comm))
            && any(&self.container, is_container)
            && any(&self.pod, is_pod)
    }
}

/// Whether one of what was asked for fits, or nothing was.
fn any<T>(asked: &[T], fits: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(fits)
}
