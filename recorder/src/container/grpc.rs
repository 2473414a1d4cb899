//! gRPC over a Unix socket, one call at a time, with a limit on everything.
//!
//! ```text
//! +------------+----------------+---------+
//! | compressed | length (4, BE) | message |   each message, both ways
//! +------------+----------------+---------+
//! ```

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
    header::{CONTENT_TYPE, HeaderMap, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::task::JoinHandle;

use super::http::{Failure, connect, garbage, within};

/// Bytes before each message.
const PREFIX: usize = 5;
/// Bytes of headers at most.
const MAX_HEADERS: u32 = 16 << 10;
/// Bytes that may be under way before they are read: what the longest answers need, twice.
const WINDOW: u32 = 1 << 20;
/// gRPC's status of a method that is not offered (`UNIMPLEMENTED`).
pub(super) const UNIMPLEMENTED: u16 = 12;
/// Its status of a thing that is not there (`NOT_FOUND`).
pub(super) const NOT_FOUND: u16 = 5;

/// A connection.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
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
        within(async {
            let (stream, netns) = connect(path).await?;
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .max_header_list_size(MAX_HEADERS)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW);
            let (sender, connection) =
                builder.handshake(TokioIo::new(stream)).await.map_err(|error| garbage(&error))?;
            // How it ends shows in the calls.
            let driver = tokio::spawn(async { drop(connection.await) });
            Ok(Self { sender, driver, netns })
        })
        .await
    }

    async fn request(&mut self, method: &str, message: &impl Message) -> Result<Incoming, Failure> {
        self.sender.ready().await.map_err(|_| Failure::Closed)?;
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let framed = [&[0], &length.to_be_bytes()[..], &message].concat();
        let request = Request::post(format!("http://localhost/{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(Bytes::from(framed)));
        let request = request.map_err(|error| Failure::Garbage(error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(|error| garbage(&error))?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status().as_u16()));
        }
        check_status(response.headers())?;
        Ok(response.into_body())
    }

    /// The answer to a call, of at most `limit` bytes.
    pub(super) async fn call(
        &mut self,
        method: &str,
        message: &impl Message,
        limit: usize,
    ) -> Result<Bytes, Failure> {
        within(async {
            let mut answers = Answers { body: self.request(method, message).await?, rest: vec![] };
            let answer = answers.next(limit).await?.ok_or(Failure::Closed)?;
            // The status comes last.
            match answers.next(limit).await? {
                None => Ok(answer),
                Some(_) => Err(Failure::Garbage("two answers to one call".to_owned())),
            }
        })
        .await
    }

    /// A call with answers without end.
    pub(super) async fn stream(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<Answers, Failure> {
        Ok(Answers { body: self.request(method, message).await?, rest: vec![] })
    }
}

/// The answers to a call.
pub(super) struct Answers {
    body: Incoming,
    rest: Vec<u8>,
}

impl Answers {
    /// The next one, of at most `limit` bytes; `None` after the last. Does no harm if dropped half
    /// way.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(answer) = take_message(&mut self.rest, limit)? {
                return Ok(Some(answer));
            }
            let Some(frame) = self.body.frame().await else {
                return if self.rest.is_empty() { Ok(None) } else { Err(Failure::Closed) };
            };
            match frame.map_err(|error| garbage(&error))?.into_data() {
                Ok(data) => self.rest.extend_from_slice(&data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        check_status(&trailers)?;
                    }
                }
            }
        }
    }
}

/// Takes the first message off, if it is whole.
fn take_message(rest: &mut Vec<u8>, limit: usize) -> Result<Option<Bytes>, Failure> {
    let Some((&[compressed, a, b, c, d], body)) = rest.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > limit {
        return Err(Failure::TooLong(limit));
    }
    if compressed != 0 {
        return Err(Failure::Garbage("compressed, which was not asked for".to_owned()));
    }
    let Some(message) = body.get(..length) else { return Ok(None) };
    let message = Bytes::copy_from_slice(message);
    rest.drain(..PREFIX + length);
    Ok(Some(message))
}

fn check_status(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    match status.to_str().ok().and_then(|status| status.parse().ok()) {
        Some(0) => Ok(()),
        Some(status) => Err(Failure::Status(status)),
        None => Err(Failure::Garbage("no number in grpc-status".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole_and_refused_when_it_is_long() {
        let mut rest = vec![0, 0, 0, 0, 2, 7];
        assert!(matches!(take_message(&mut rest, 9), Ok(None)));
        rest.extend([8, 0, 0]);
        assert_eq!(take_message(&mut rest, 9).ok().flatten().as_deref(), Some(&[7, 8][..]));
        assert_eq!(rest, [0, 0]);
        let mut long = vec![0, 255, 255, 255, 255];
        assert!(matches!(take_message(&mut long, 9), Err(Failure::TooLong(9))));
        assert!(take_message(&mut vec![1, 0, 0, 0, 0], 9).is_err());
    }
}
