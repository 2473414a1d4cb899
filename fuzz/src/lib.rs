//! What the fuzz targets do with their input; each has a module, whose `check` panics where the
//! joiner is wrong. The reader that it is compared with and the packets to begin with are those of
//! its tests.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../tests/join/blocks.rs"]
#[expect(dead_code, reason = "the tests compare more")]
mod blocks;
#[path = "../../tests/join/frames.rs"]
#[expect(dead_code, reason = "the tests compare with tshark")]
mod frames;
pub mod join;
pub mod packet;
pub mod pieces;
pub mod recording;
pub mod rows;
#[path = "../../tests/join/scene.rs"]
#[expect(dead_code, reason = "the tests make more of it")]
mod scene;
pub mod seeds;
pub mod walk;

/// Before the first input: makes inputs to begin with in the folder `FUZZ_SEEDS`, if there is one.
pub fn begin(seeds: fn() -> Vec<Vec<u8>>) {
    let folder = std::env::var_os("FUZZ_SEEDS").filter(|folder| !folder.is_empty());
    let Some(folder) = folder.map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("a folder for seeds");
    for (number, seed) in seeds().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).expect("written");
    }
}

/// A file with these bytes, where temporary files are: `scripts/fuzz.sh` has them in memory.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = place(name);
    fs::write(&path, bytes).expect("written");
    path
}

fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
