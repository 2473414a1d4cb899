//! What the event files say of the recorder: which kernel it ran on, and which hooks that took.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use schema::rows::EventFile;
use serde_json::{Map, Value};

/// How a hook's entry begins that is in place; anything else says why it is not.
const ATTACHED: &str = "attached";

/// One recording's recorder.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Version of the recorder.
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// Hooks in place.
    pub attached: usize,
    /// Those that are not, and why.
    pub missing: BTreeMap<String, String>,
}

/// The recorders of `paths`, by recording's id, or by the path of a recording without one. Files
/// that were readable a moment ago and are not now tell nothing.
#[must_use]
pub fn recorders(paths: &[PathBuf]) -> BTreeMap<String, Recorder> {
    let mut all = BTreeMap::<String, Recorder>::new();
    for path in paths {
        let file = File::open(path).ok().and_then(|file| EventFile::open(file).ok());
        let Some(meta) = file.map(|file| file.meta().clone()) else { continue };
        let key = if meta.recording.is_empty() {
            path.display().to_string()
        } else {
            meta.recording.clone()
        };
        let recorder = all.entry(key).or_default();
        recorder.version = meta.version;
        recorder.kernel = meta.kernel;
        let hooks: Map<String, Value> = serde_json::from_str(&meta.hooks).unwrap_or_default();
        let mut attached = 0;
        for (hook, state) in hooks {
            match state.as_str() {
                Some(state) if state.starts_with(ATTACHED) => attached += 1,
                Some(why) => {
                    recorder.missing.insert(hook, why.to_owned());
                }
                None => {
                    recorder.missing.insert(hook, state.to_string());
                }
            }
        }
        recorder.attached = attached;
    }
    all
}
