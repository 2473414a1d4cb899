//! The closed vocabularies of the event file: what happened, who saw it, which way it went. Each
//! value has one spelling, used in the file, in annotations and on the screen.

/// Declares a field-less enum whose values have one textual spelling each.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$item_doc])* $item,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// The spelling used in files.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text,)+ }
            }

            /// The value that is spelled `text`.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$item),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What one row of the event file reports.
    Kind {
        /// The SYN is about to leave.
        TcpConnect = "tcp_connect",
        /// An outgoing connection is established; carries `latency_us`.
        TcpEstablished = "tcp_established",
        /// An outgoing connection was not established; ends the life, no close follows.
        TcpConnectFail = "tcp_connect_fail",
        /// An incoming connection is established.
        TcpAccept = "tcp_accept",
        /// A socket listens.
        TcpListen = "tcp_listen",
        /// TCP state CLOSE is reached, by whomever; carries the counters.
        TcpClose = "tcp_close",
        /// Segments were sent again.
        TcpRetransmit = "tcp_retransmit",
        /// A UDP socket was given a fixed peer.
        UdpConnect = "udp_connect",
        /// A UDP socket was bound explicitly.
        UdpBind = "udp_bind",
        /// An unconnected socket sent `count` datagrams to this peer.
        UdpSend = "udp_send",
        /// An unconnected socket read `count` datagrams of this peer.
        UdpRecv = "udp_recv",
        /// A UDP socket was closed.
        UdpClose = "udp_close",
        /// A socket that existed before the recording.
        Socket = "socket",
        /// This socket's process is better known now.
        Owner = "owner",
        /// A connection is translated.
        Nat = "nat",
        /// The translation ended.
        NatEnd = "nat_end",
        /// One process moves data between two of its sockets.
        Forward = "forward",
        /// A process replaced its program.
        Exec = "exec",
        /// A process ended.
        Exit = "exit",
        /// A network interface and one of its addresses.
        Interface = "interface",
        /// A published port of a container.
        Publish = "publish",
        /// The offset of the wall clock.
        Clock = "clock",
        /// Something was lost; `error` names the stage.
        Lost = "lost",
    }
}

vocabulary! {
    /// Where a row comes from.
    Source {
        /// A kernel hook.
        Probe = "probe",
        /// A listing of what was there already.
        Snapshot = "snapshot",
        /// Connection tracking.
        Conntrack = "conntrack",
        /// A container runtime.
        Runtime = "runtime",
        /// The recorder itself.
        Recorder = "recorder",
    }
}

vocabulary! {
    /// Which end opened a connection, seen from the row's own socket.
    EventDirection {
        /// We opened it.
        Out = "out",
        /// The other end did.
        In = "in",
    }
}

vocabulary! {
    /// The stage at which something was lost, in the `error` column of `lost` rows.
    LossStage {
        /// The ring buffer was full.
        Ring = "ring",
        /// The queue to the file was full.
        Channel = "channel",
        /// Connection tracking events overran.
        Conntrack = "conntrack",
        /// A socket table was full.
        Sockets = "sockets",
        /// Packets the capture dropped.
        Capture = "capture",
        /// The disk was full or failed.
        Disk = "disk",
        /// The kernel left a hook's program out, at most so many times.
        Hook = "hook",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_back_and_is_lower_case() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_text(kind.as_str()), Some(kind));
            assert!(kind.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
        assert_eq!(Kind::from_text("TCP_CONNECT"), None);
        assert_eq!(Source::ALL.len(), 5);
    }
}
