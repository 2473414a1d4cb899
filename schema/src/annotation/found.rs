//! The words for how a name was found, and for why there is none.

use std::fmt;

use crate::kind::vocabulary;

vocabulary! {
    /// The rule that settled one end of a packet, most certain first.
    Rule {
        /// A socket life with this tuple, open at the time of the packet.
        Exact = "exact",
        /// The packet precedes the life's first event.
        Early = "early",
        /// The packet follows the life's close.
        Late = "late",
        /// Only the local endpoint is known.
        Listener = "listener",
        /// Through a hop of a user-space proxy.
        Proxy = "proxy",
        /// An ICMP error or a fragment of a known flow.
        Related = "related",
    }
}

vocabulary! {
    /// Why one end of a packet has no name.
    Reason {
        /// Not an IP packet.
        NotIp = "not-ip",
        /// IP, but no transport with ports.
        NoTransport = "no-transport",
        /// Cut by the snap length before the ports.
        Truncated = "truncated",
        /// The host had a recording, and nobody owned this endpoint.
        NoSocket = "no-socket",
        /// The endpoint's address belongs to no recorded host.
        Remote = "remote",
        /// A simple packet block: no time, no options.
        NoTime = "no-time",
        /// Before the recording began.
        BeforeRecording = "before-recording",
        /// After the recording ended.
        AfterRecording = "after-recording",
        /// The recorder lost events around this time.
        InLoss = "in-loss",
        /// More than one process fits, and nothing decides.
        Ambiguous = "ambiguous",
        /// The packet contradicts itself.
        Malformed = "malformed",
    }
}

/// How a name was found: the rule, and whether through a translation of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// Whether the packet's tuple was translated first.
    pub nat: bool,
    /// The rule that then fitted.
    pub rule: Rule,
}

impl Match {
    /// Rule 1, no translation: what a reader assumes where nothing is said.
    pub const EXACT: Self = Self::direct(Rule::Exact);

    /// A match without translation.
    #[must_use]
    pub const fn direct(rule: Rule) -> Self {
        Self { nat: false, rule }
    }

    /// The match that is spelled `text`: `exact`, `nat+exact`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (nat, rule) = match text.strip_prefix("nat+") {
            Some(rule) => (true, rule),
            None => (false, text),
        };
        Some(Self { nat, rule: Rule::from_text(rule)? })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nat {
            f.write_str("nat+")?;
        }
        f.write_str(self.rule.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_reads_back() {
        for nat in [false, true] {
            for &rule in Rule::ALL {
                let found = Match { nat, rule };
                assert_eq!(Match::from_text(&found.to_string()), Some(found));
            }
        }
        assert_eq!(Match::from_text("nat+"), None);
        assert_eq!(Match::from_text("nat+nat+exact"), None);
    }

    #[test]
    fn rules_are_ordered_by_certainty() {
        assert!(Rule::Exact < Rule::Early && Rule::Early < Rule::Late);
        assert!(Match::EXACT < Match { nat: true, rule: Rule::Exact });
    }
}
