//! Community ID v1, seed 0: the flow hash that Zeek, Suricata and Wireshark print, so that an event
//! can be joined with their logs (<https://github.com/corelight/community-id-spec>).
//!
//! ```text
//! "1:" base64( SHA-1( seed u16 | low addr | high addr | proto u8 | 0 u8 | low port u16 | high port u16 ) )
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::flow::{FiveTuple, Proto};

const SEED: u16 = 0;

/// The Community ID of a TCP, UDP or SCTP tuple, the same for both directions. `None` for other
/// protocols (ICMP's needs type and code, which a tuple doesn't have) and for a tuple of two
/// address families.
///
/// ```
/// use schema::{Endpoint, FiveTuple, Proto, community_id::community_id};
/// let client = Endpoint::v4([128, 232, 110, 120], 34855);
/// let server = Endpoint::v4([66, 35, 250, 204], 80);
/// let id = community_id(FiveTuple::new(Proto::TCP, client, server));
/// assert_eq!(id.as_deref(), Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg="));
/// ```
#[must_use]
pub fn community_id(tuple: FiveTuple) -> Option<String> {
    if ![Proto::TCP, Proto::UDP, Proto::SCTP].contains(&tuple.proto) {
        return None;
    }
    let (key, _) = tuple.canonical();
    if key.low.is_v4() != key.high.is_v4() {
        return None;
    }
    // The specification orders by (address, port), bytes compared as they stand: the order of
    // `Endpoint`, since both addresses are of one family.
    let mut hash = Sha1::new();
    hash.update(SEED.to_be_bytes());
    hash.update(key.low.octets());
    hash.update(key.high.octets());
    hash.update([key.proto.0, 0]);
    hash.update(key.low.port().to_be_bytes());
    hash.update(key.high.port().to_be_bytes());
    Some(format!("1:{}", STANDARD.encode(hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Endpoint;

    fn id(proto: Proto, src: &str, dst: &str) -> Option<String> {
        let parse = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().expect(text));
        community_id(FiveTuple::new(proto, parse(src), parse(dst)))
    }

    // Vectors of the specification's own baseline, seed 0.
    #[test]
    fn published_vectors() {
        for (proto, src, dst, want) in [
            (
                Proto::TCP,
                "128.232.110.120:34855",
                "66.35.250.204:80",
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (Proto::UDP, "192.168.1.52:54585", "8.8.8.8:53", "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (Proto::SCTP, "192.168.170.8:7", "192.168.170.56:7", "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
        ] {
            assert_eq!(id(proto, src, dst).as_deref(), Some(want), "{src} > {dst}");
            assert_eq!(id(proto, dst, src).as_deref(), Some(want), "{dst} > {src}");
        }
    }

    #[test]
    fn none_where_the_tuple_does_not_say_enough() {
        assert_eq!(id(Proto::ICMP, "10.0.0.1:8", "10.0.0.2:0"), None);
        assert_eq!(id(Proto::TCP, "10.0.0.1:8", "[fe80::1]:1"), None);
    }
}
