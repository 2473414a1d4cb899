//! `--nat FILE`: ports that lead elsewhere, as the user knows them, for translations that no
//! recording tells of (a load balancer, a router).
//!
//! ```text
//! proto,addr,port,to_addr,to_port
//! tcp,203.0.113.7,443,10.0.0.12,8443
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use schema::{Endpoint, Proto};

use crate::events::Publication;

const HEADER: &str = "proto,addr,port,to_addr,to_port";

/// Bytes of a table at most: some 300,000 lines.
const MAX_BYTES: u64 = 16 << 20;

/// Why a table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NatTableError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is none.
    #[error("{}: line {line}: {what}; write lines like tcp,203.0.113.7,443,10.0.0.12,8443 below the header {HEADER}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Reads the table in `path`.
///
/// # Errors
///
/// [`NatTableError`], with the first line that can't be understood.
pub fn read(path: &Path) -> Result<Vec<Publication>, NatTableError> {
    let error = |source| NatTableError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(error)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(error)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(error(io::Error::other("larger than 16 MiB; is this the right file?")));
    }
    parse(&text).map_err(|(line, what)| NatTableError::Line { path: path.to_owned(), line, what })
}

fn parse(text: &str) -> Result<Vec<Publication>, (usize, &'static str)> {
    let mut lines = (1..).zip(text.lines().map(str::trim));
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => return Err((1, "no header")),
    }
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| parse_line(line).map_err(|what| (number, what))).collect()
}

fn parse_line(line: &str) -> Result<Publication, &'static str> {
    let fields: Vec<_> = line.split(',').map(str::trim).collect();
    let [proto, address, port, to_address, to_port] = fields[..] else {
        return Err("not five fields");
    };
    let end = |address: &str, port: &str| -> Result<Endpoint, &'static str> {
        let address = address.parse().map_err(|_| "not an address")?;
        Ok(Endpoint::new(address, port.parse().map_err(|_| "not a port")?))
    };
    Ok(Publication {
        host: None,
        namespace: None,
        proto: Proto::from_name(proto).ok_or("not a protocol: tcp, udp or sctp")?,
        public: end(address, port)?,
        target: end(to_address, to_port)?,
        container: None,
        from_ns: i64::MIN,
        to_ns: i64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_below_the_header_are_read() {
        let text = format!("{HEADER}\r\n\n# by the router\ntcp,203.0.113.7,443, 10.0.0.12,8443\n");
        let [line] = parse(&text).expect("a table")[..] else { panic!("one line") };
        assert_eq!(line.public, Endpoint::v4([203, 0, 113, 7], 443));
        assert_eq!((line.proto, line.target), (Proto::TCP, Endpoint::v4([10, 0, 0, 12], 8443)));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let bad = |line: &str| parse(&format!("{HEADER}\n{line}")).expect_err(line);
        assert_eq!(parse("").expect_err("empty"), (1, "no header"));
        assert_eq!(bad("tcp,1.2.3.4,80"), (2, "not five fields"));
        assert_eq!(bad("ip,1.2.3.4,80,5.6.7.8,80").0, 2);
        assert_eq!(bad("tcp,1.2.3,80,5.6.7.8,80"), (2, "not an address"));
        assert_eq!(bad("tcp,1.2.3.4,80,5.6.7.8,99999"), (2, "not a port"));
    }
}
