//! Connections that begin in unusual ways.

use super::draft::{Draft, Sock};
use super::place::Path;
use super::world::{MS, Packet, Row, SECOND, Us};

/// A socket of an end of `path`, open from `opened` to `closed`, with rows for both.
fn sock(
    draft: &mut Draft,
    path: &Path,
    of_client: bool,
    kind: &'static str,
    who: &str,
    open: (Us, Us),
) {
    let end = if of_client { path.client } else { path.server };
    let Some((ns, (local, remote))) = end else { return };
    let cookie = draft.id();
    let (local, remote) = (Some(local), Some(remote));
    let more = if kind == "tcp_accept" { "direction=in" } else { "" }.to_owned();
    let row = Row { cookie, ns, local, remote, more, ..Row::new(open.0, kind) };
    let counted = "sent=0 received=0".to_owned();
    draft.row(Row { at: open.1, kind: "tcp_close", more: counted, ..row.clone() });
    let holder = who.to_owned();
    draft.open(Sock { row, opened: open.0, closed: Some(open.1), holder, handed: None });
}

/// First sequence numbers of client and server.
fn numbers(draft: &mut Draft) -> (u32, u32) {
    let mut number = || u32::try_from(draft.rng.within(1, 4_000_000_000)).expect("fits");
    (number(), number())
}

/// Who sends and receives: the client's processes, the server's.
type Truth<'a> = [&'a [&'a str]; 2];

fn send(
    draft: &mut Draft,
    path: &Path,
    at: Us,
    (up, flags): (bool, &'static str),
    isn: (u32, u32),
    truth: Truth<'_>,
) {
    let mut truth = truth.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    let (first, other) = if up { isn } else { (isn.1, isn.0) };
    if !up {
        truth.reverse();
    }
    let seq = first.wrapping_add(u32::from(!flags.contains('S')));
    let ack = if flags.contains('.') { other.wrapping_add(1) } else { 0 };
    let (src, dst) = path.views[0].1;
    draft.send(path, up, Packet { at, src, dst, udp: false, flags, seq, ack, interface: 0, truth });
}

/// A connection whose last acknowledgement was lost, so that its server waits in LAST_ACK when the
/// client takes the tuple again: the SYN is answered by the old socket, which the new client resets.
/// None where nobody listens.
pub(super) fn challenge(draft: &mut Draft, path: &Path, at: Us) -> Option<Us> {
    let (ns, (local, _)) = path.server?;
    let there = draft.listening(false, ns, local.port(), at + SECOND);
    let [listener] = &there[..] else { return None };
    if listener.from > at || listener.to < at + 6 * SECOND || path.nat.is_some() {
        return None;
    }
    let listener = listener.who.clone();
    let far = path.client.is_none();
    let names = [draft.process('c'), draft.process('c')];
    let name = |n: usize| -> Vec<&str> { if far { vec![] } else { vec![&names[n]] } };
    let server = [&*listener];
    let isn = numbers(draft);
    let mut t = at + 40;
    for (up, flags, wait) in [
        (true, "S", 30),
        (false, "S.", 40),
        (true, ".", 50_000),
        (true, "F.", 30),
        (false, "F.", 30),
    ] {
        send(draft, path, t, (up, flags), isn, [&name(0), &server]);
        t += wait;
    }
    sock(draft, path, true, "tcp_connect", &names[0], (at, t - 10));
    // The acknowledgements are lost on their way. A second later the client begins anew.
    for after in [200 * MS, 600 * MS] {
        send(draft, path, t + after, (false, "F."), isn, [&name(0), &server]);
    }
    let begun = t + SECOND + draft.rng.within(0, 20 * MS);
    let syn = begun + 40;
    let new_isn = numbers(draft);
    let worker = draft.process('w');
    let new = [&*listener, &*worker];
    // Who receives the first SYN is the old socket, though it is meant for the new one.
    send(draft, path, syn, (true, "S"), new_isn, [&name(1), &new]);
    send(draft, path, syn + 30, (false, "."), isn, [&name(1), &server]);
    send(draft, path, syn + 60, (true, "R"), isn, [&name(1), &server]);
    sock(draft, path, false, "tcp_accept", &listener, (at + 120, syn + 70));
    let again = syn + SECOND;
    send(draft, path, again, (true, "S"), new_isn, [&name(1), &new]);
    send(draft, path, again + 30, (false, "S."), new_isn, [&name(1), &new]);
    send(draft, path, again + 60, (true, "."), new_isn, [&name(1), &new]);
    send(draft, path, again + MS, (true, "P."), new_isn, [&name(1), &new[1..]]);
    let end = again + 2 * MS;
    send(draft, path, end, (true, "R"), new_isn, [&name(1), &new[1..]]);
    sock(draft, path, true, "tcp_connect", &names[1], (begun, end - 3));
    // The one that took the listener over accepts; its row tells it at once.
    sock(draft, path, false, "tcp_accept", &worker, (again + 75, end + 20));
    Some(end + MS)
}

/// Both ends connect to each other at the same moment. None where an end is far.
pub(super) fn simultaneous(draft: &mut Draft, path: &Path, at: Us) -> Option<Us> {
    path.client?;
    path.server?;
    if path.nat.is_some() {
        return None;
    }
    let names = [draft.process('c'), draft.process('d')];
    let truth: [&[&str]; 2] = [&[&names[0]], &[&names[1]]];
    let isn = numbers(draft);
    for (after, up, flags) in [
        (50, true, "S"),
        (52, false, "S"),
        (70, true, "S."),
        (72, false, "S."),
        (90, true, "."),
        (1_000, true, "P."),
        (1_030, false, "."),
        (2_000, false, "R."),
    ] {
        send(draft, path, at + after, (up, flags), isn, truth);
    }
    sock(draft, path, true, "tcp_connect", &names[0], (at, at + 2_020));
    sock(draft, path, false, "tcp_connect", &names[1], (at + 5, at + 1_995));
    Some(at + 3 * MS)
}
