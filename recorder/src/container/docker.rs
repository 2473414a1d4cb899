//! Docker's Engine API, version 1.24 and later, which podman's service speaks too. Events come
//! first and everything that runs is listed then, so that nothing falls between; an event tells
//! name and image, which serves containers that are gone before they can be looked at.

mod reply;

use std::collections::HashSet;

use hyper::StatusCode;
use serde::de::DeserializeOwned;

use self::reply::{Event, Happened, Inspected, List, Version};
use super::{
    http::{Client, Failure, within},
    worker::Link,
};

/// Bytes of a list at most. A container takes some two KiB in it.
const MAX_LIST: usize = 4 << 20;
/// Bytes of what is told of one container; its environment makes up most of it.
const MAX_INSPECT: usize = 2 << 20;
/// The events of interest: `{"type":["container"]}`, for the URL.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";

/// Serves questions until something fails.
pub(super) async fn serve(link: &mut Link) -> Result<(), Failure> {
    let mut client = within(Client::connect(&link.path)).await?;
    let (runtime, version) =
        parse::<Version>(client.get("/version", MAX_INSPECT).await?)?.runtime();
    let mut events = within(Client::connect(&link.path)).await?.stream(EVENTS).await?;
    let List(list) = parse(client.get("/containers/json", MAX_LIST).await?)?;
    let mut runs = HashSet::new();
    for (details, ports) in list.into_iter().filter_map(|listed| listed.read(runtime)) {
        runs.insert(details.id.clone());
        link.learn_running(details, client.netns, ports);
    }
    link.runs_only(&runs);
    link.is_up(runtime, version);
    loop {
        tokio::select! {
            lines = events.next() => {
                for line in lines? {
                    on_event(link, &mut client, runtime, &line).await?;
                }
            }
            id = link.question() => {
                inspect(link, &mut client, runtime, &id).await?;
                link.answered(&id);
            }
        }
    }
}

async fn on_event(
    link: &Link,
    client: &mut Client,
    runtime: &'static str,
    line: &[u8],
) -> Result<(), Failure> {
    let event: Option<Event> = serde_json::from_slice(line).ok();
    let Some((happened, details)) = event.and_then(|event| event.read(runtime)) else {
        return Ok(());
    };
    let id = details.id.clone();
    link.learn(details);
    match happened {
        Happened::Named => {}
        Happened::Started => inspect(link, client, runtime, &id).await?,
        Happened::Ended => link.ended(&id),
    }
    Ok(())
}

async fn inspect(
    link: &Link,
    client: &mut Client,
    runtime: &'static str,
    id: &str,
) -> Result<(), Failure> {
    let (status, body) = client.get(&format!("/containers/{id}/json"), MAX_INSPECT).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(());
    }
    let inspected: Inspected = parse((status, body))?;
    match inspected.read(runtime) {
        // An answer about another container is none.
        Some((details, _)) if details.id != id => {}
        Some((details, Some(ports))) => link.learn_running(details, client.netns, ports),
        Some((details, None)) => link.learn(details),
        None => {}
    }
    Ok(())
}

fn parse<T: DeserializeOwned>((status, body): (StatusCode, Vec<u8>)) -> Result<T, Failure> {
    if status != StatusCode::OK {
        return Err(Failure::Status(status.as_u16()));
    }
    serde_json::from_slice(&body).map_err(|error| Failure::Garbage(error.to_string()))
}
