//! Why an endpoint has no name: what the recordings can say of its address at that time.

use std::ops::RangeInclusive;

use schema::Endpoint;
use schema::annotation::Reason;

use crate::events::Host;

/// The reason for an endpoint that no conversation fits.
pub(super) fn why_nobody(hosts: &[Host], local: Endpoint, time_ns: i64) -> Reason {
    let mut reason = Reason::Remote;
    for host in hosts.iter().filter(|host| host.owns(local)) {
        let here = match covers(host, time_ns) {
            Some(reason) => reason,
            None if host.lost_at(time_ns) => Reason::InLoss,
            None => return Reason::NoSocket,
        };
        if reason == Reason::Remote {
            reason = here;
        }
    }
    reason
}

/// When [`why_nobody`] says of `local` what it says at `time_ns`.
pub(super) fn constant(hosts: &[Host], local: Endpoint, time_ns: i64) -> RangeInclusive<i64> {
    let owning = hosts.iter().filter(|host| host.owns(local));
    let known = owning.flat_map(|host| host.recorded.iter().chain(host.all_losses()));
    let (mut first, mut last) = (i64::MIN, i64::MAX);
    for &(from, to) in known {
        if time_ns < from {
            last = last.min(from - 1);
        } else if time_ns > to {
            first = first.max(to + 1);
        } else {
            (first, last) = (first.max(from), last.min(to));
        }
    }
    first..=last
}

/// `None` if `host` was recorded at `time_ns`, else whether that was before or after.
fn covers(host: &Host, time_ns: i64) -> Option<Reason> {
    if host.recorded.iter().any(|&(from, to)| from <= time_ns && time_ns <= to) {
        return None;
    }
    let before_all = host.recorded.iter().all(|&(from, _)| time_ns < from);
    Some(if before_all { Reason::BeforeRecording } else { Reason::AfterRecording })
}
