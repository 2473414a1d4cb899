//! The reader of event files: any bytes are a recording or an error that says why not.

use std::path::PathBuf;

use joiner::events::{EventFiles, load};
use joiner::index::Index;

/// The input is a file.
pub fn check(input: &[u8]) {
    // What the Parquet library gives up on is caught, and told as damage; libFuzzer would end here.
    std::panic::set_hook(Box::new(|_| {}));
    let path = crate::file("ev.parquet", input);
    let told = |error: joiner::events::EventsError| assert!(error.to_string().len() > 20);
    match EventFiles::find(&[&path]) {
        Ok(files) => read(&files.paths).unwrap_or_else(told),
        Err(error) => told(error),
    }
}

fn read(paths: &[PathBuf]) -> Result<(), joiner::events::EventsError> {
    let recordings = load(paths)?;
    drop(Index::new(&recordings));
    Ok(())
}
