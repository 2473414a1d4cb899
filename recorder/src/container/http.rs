//! HTTP over a Unix socket, with a limit on everything: how long, how much.

use std::{
    future::Future,
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

/// How long a runtime may take for one answer. A healthy one takes milliseconds.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// Bytes of a header at most.
const MAX_HEADER: usize = 64 << 10;
/// Bytes of events in a second: some thousand containers' starts and ends. Who sends more is not
/// listened to.
const MAX_EVENT_BYTES: usize = 4 << 20;
/// Bytes of one event; labels make up most of it.
const MAX_LINE: usize = 256 << 10;

/// Why a runtime is not of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no such socket")]
    Absent,
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no answer within {} s", ANSWER.as_secs())]
    Silent,
    #[error("an answer longer than {0} bytes")]
    TooLong(usize),
    #[error("more events than any host has")]
    Flood,
    #[error("status {0}")]
    Status(u16),
    #[error("not understood: {0}")]
    Garbage(String),
    #[error("closed by the runtime")]
    Closed,
}

/// Gives `answer` its time.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(ANSWER, answer).await.unwrap_or(Err(Failure::Silent))
}

/// Connects, and tells the inode of the network namespace in which the other end lives, where
/// that is the system's own runtime: a user's may have its ports forwarded elsewhere.
pub(super) async fn connect(path: &Path) -> Result<(UnixStream, Option<u64>), Failure> {
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Absent,
        _ => Failure::Connect(error),
    })?;
    let peer = stream.peer_cred().ok().filter(|peer| peer.uid() == 0);
    let netns = peer.and_then(|peer| {
        let link = format!("/proc/{}/ns/net", peer.pid()?);
        std::fs::metadata(link).ok().map(|namespace| namespace.ino())
    });
    Ok((stream, netns))
}

/// A connection.
pub(super) struct Client {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
    /// Inode of the runtime's network namespace.
    pub(super) netns: Option<u64>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// Connects.
    pub(super) async fn connect(path: &Path) -> Result<Self, Failure> {
        let (stream, netns) = connect(path).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEADER);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| garbage(&error))?;
        // How it ends shows in the requests.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, driver, netns })
    }

    async fn request(&mut self, path: &str) -> Result<(StatusCode, Incoming), Failure> {
        self.sender.ready().await.map_err(|_| Failure::Closed)?;
        let request = Request::get(path).header(HOST, "localhost").body(Empty::new());
        let request = request.map_err(|error| Failure::Garbage(error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(|error| garbage(&error))?;
        Ok((response.status(), response.into_body()))
    }

    /// The answer to a request, of at most `limit` bytes.
    pub(super) async fn get(
        &mut self,
        path: &str,
        limit: usize,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        within(async {
            let (status, mut body) = self.request(path).await?;
            let mut bytes = vec![];
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| garbage(&error))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > limit {
                    return Err(Failure::TooLong(limit));
                }
                bytes.extend_from_slice(&data);
            }
            Ok((status, bytes))
        })
        .await
    }

    /// An answer that never ends, line by line.
    pub(super) async fn stream(mut self, path: &str) -> Result<Lines, Failure> {
        let (status, body) = within(self.request(path)).await?;
        if status != StatusCode::OK {
            return Err(Failure::Status(status.as_u16()));
        }
        Ok(Lines {
            body,
            splitter: Splitter::default(),
            since: Instant::now(),
            bytes: 0,
            _client: self,
        })
    }
}

pub(super) fn garbage(error: &hyper::Error) -> Failure {
    if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        return Failure::Closed;
    }
    Failure::Garbage(error.to_string())
}

/// The lines of an endless answer.
pub(super) struct Lines {
    body: Incoming,
    splitter: Splitter,
    /// Start of this second, and the bytes that came in it.
    since: Instant,
    bytes: usize,
    _client: Client,
}

impl Lines {
    /// The next lines; may be none. Does no harm if dropped half way.
    pub(super) async fn next(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let frame = self.body.frame().await.ok_or(Failure::Closed)?;
        let Ok(data) = frame.map_err(|error| garbage(&error))?.into_data() else {
            return Ok(vec![]);
        };
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        self.bytes += data.len();
        if self.bytes > MAX_EVENT_BYTES {
            return Err(Failure::Flood);
        }
        Ok(self.splitter.push(&data))
    }
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Splitter {
    rest: Vec<u8>,
    /// The line at hand is too long, and left out.
    skips: bool,
}

impl Splitter {
    fn push(&mut self, mut data: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = vec![];
        while let Some(end) = data.iter().position(|&byte| byte == b'\n') {
            let mut line = std::mem::take(&mut self.rest);
            if !std::mem::take(&mut self.skips) && line.len() + end <= MAX_LINE {
                line.extend_from_slice(&data[..end]);
                lines.push(line);
            }
            data = &data[end + 1..];
        }
        if self.rest.len() + data.len() > MAX_LINE {
            self.skips = true;
            self.rest = vec![];
        }
        if !self.skips {
            self.rest.extend_from_slice(data);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(b"one\ntw"), [b"one"]);
        assert_eq!(splitter.push(b"o\n\nthree"), [&b"two"[..], b""]);
        assert_eq!(splitter.push(b"\n"), [b"three"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut splitter = Splitter::default();
        for _ in 0..100 {
            assert!(splitter.push(&[b'x'; 10_000]).is_empty());
            assert!(splitter.rest.len() <= MAX_LINE);
        }
        assert_eq!(splitter.push(b"x\nnext\n"), [b"next"]);
    }
}
