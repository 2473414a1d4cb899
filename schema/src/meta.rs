//! Key/value metadata of an event file: which host and recording it is of, how complete it is.

use parquet::file::metadata::KeyValue;

use crate::error::SchemaError;

/// Major version of the event schema: readers refuse a higher one.
pub const SCHEMA_MAJOR: u32 = 1;
/// Minor version of the event schema: rises with every column added.
pub const SCHEMA_MINOR: u32 = 0;

const VERSION_KEY: &str = "ebpfrec.schema_version";
const PART_KEY: &str = "ebpfrec.part";

/// The metadata of one recording. `hooks` and `lost` are JSON objects, kept as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMeta {
    /// Version of the recorder.
    pub version: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Host name.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// All hooks attached; RFC 3339 UTC with nanoseconds.
    pub start: String,
    /// End of the recording, in the same form; empty while it runs.
    pub end: String,
    /// JSON: hook → `attached`, or why not.
    pub hooks: String,
    /// JSON: stage → number of things lost, of this part of the recording.
    pub lost: String,
    /// The same of the whole recording until the end of this part; empty if it is the only one.
    pub lost_total: String,
    /// Id of the recording, the same in all its parts; empty in files of before there were parts.
    pub recording: String,
    /// Which part of the recording this is, from 1; 0 if it is the only one.
    pub part: u32,
    /// Whether the recording ended cleanly.
    pub complete: bool,
}

impl FileMeta {
    fn fields(&mut self) -> [(&'static str, &mut String); 10] {
        [
            ("ebpfrec.version", &mut self.version),
            ("ebpfrec.kernel", &mut self.kernel),
            ("ebpfrec.host", &mut self.host),
            ("ebpfrec.boot_id", &mut self.boot_id),
            ("ebpfrec.start", &mut self.start),
            ("ebpfrec.end", &mut self.end),
            ("ebpfrec.hooks", &mut self.hooks),
            ("ebpfrec.lost", &mut self.lost),
            ("ebpfrec.lost_total", &mut self.lost_total),
            ("ebpfrec.recording", &mut self.recording),
        ]
    }

    /// The pairs to be written, schema version first.
    #[must_use]
    pub fn to_key_values(&self) -> Vec<KeyValue> {
        let version = format!("{SCHEMA_MAJOR}.{SCHEMA_MINOR}");
        let mut pairs = vec![KeyValue::new(VERSION_KEY.to_owned(), version)];
        for (key, text) in self.clone().fields() {
            pairs.push(KeyValue::new(key.to_owned(), std::mem::take(text)));
        }
        pairs.push(KeyValue::new(PART_KEY.to_owned(), self.part.to_string()));
        pairs.push(KeyValue::new("ebpfrec.complete".to_owned(), self.complete.to_string()));
        pairs
    }

    /// Reads the pairs of a file.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Foreign`], [`SchemaError::BadVersion`] or [`SchemaError::NewerVersion`].
    pub fn from_key_values(pairs: &[KeyValue]) -> Result<Self, SchemaError> {
        let value = |key: &str| {
            pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
        };
        let version = value(VERSION_KEY).ok_or(SchemaError::Foreign { key: VERSION_KEY })?;
        check_version(version)?;
        let mut meta = Self::default();
        for (key, text) in meta.fields() {
            value(key).unwrap_or_default().clone_into(text);
        }
        meta.part = value(PART_KEY).and_then(|part| part.parse().ok()).unwrap_or(0);
        meta.complete = value("ebpfrec.complete") == Some("true");
        Ok(meta)
    }
}

/// A pair of metadata.
#[must_use]
pub fn pair(key: String, value: String) -> KeyValue {
    KeyValue::new(key, value)
}

fn check_version(text: &str) -> Result<(), SchemaError> {
    let found = || text.escape_debug().take(64).collect::<String>();
    let (major, minor) =
        text.split_once('.').ok_or_else(|| SchemaError::BadVersion { found: found() })?;
    let (Ok(major), Ok(_)) = (major.parse::<u32>(), minor.parse::<u32>()) else {
        return Err(SchemaError::BadVersion { found: found() });
    };
    if major > SCHEMA_MAJOR {
        return Err(SchemaError::NewerVersion { found: found(), supported: SCHEMA_MAJOR });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FileMeta {
        FileMeta {
            version: "0.1.0".into(),
            kernel: "6.18".into(),
            host: "h".into(),
            boot_id: "b".into(),
            start: "s".into(),
            end: "e".into(),
            hooks: "{}".into(),
            lost: "{\"ring\":0}".into(),
            lost_total: "{\"ring\":1}".into(),
            recording: "r".into(),
            part: 3,
            complete: true,
        }
    }

    fn with_version(version: &str) -> Result<FileMeta, SchemaError> {
        let mut pairs = sample().to_key_values();
        pairs[0].value = Some(version.to_owned());
        FileMeta::from_key_values(&pairs)
    }

    #[test]
    fn metadata_reads_back() {
        let read = FileMeta::from_key_values(&sample().to_key_values()).expect("own metadata");
        assert_eq!(read, sample());
    }

    #[test]
    fn a_later_minor_version_is_read_a_later_major_one_refused() {
        assert!(with_version("1.99").is_ok());
        let error = with_version("2.0").expect_err("newer major").to_string();
        assert_eq!(
            error,
            "schema version 2.0 is newer than this program understands (1.x); update ebpfjoin"
        );
        for bad in ["", "1", "one.two", "1.x", "\u{1b}[31m.0"] {
            let error = with_version(bad).expect_err(bad);
            assert!(matches!(error, SchemaError::BadVersion { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }

    #[test]
    fn parquet_of_something_else_is_foreign() {
        let error = FileMeta::from_key_values(&[]).expect_err("no keys");
        assert!(error.to_string().starts_with("a Parquet file, but not one of ebpfrec"), "{error}");
    }
}
