//! Whom the kernel programs watch moving data between sockets: processes by name. Those that start
//! from now on the programs find by themselves; those that run already are told to them, with the
//! pipes they have.

use std::{fs, str::FromStr};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use schema::wire::{COMM_LEN, Contents, DESCRIPTOR_PIPE, Descriptor, descriptor_key};

use super::{LoadError, take_map};
use crate::procfs::{PipeEnd, ProcDir, shows_all_processes};

/// A [`Descriptor`], as the map call wants it.
type DescriptorWords = [u64; size_of::<Descriptor>() / 8];
/// [`Contents`], likewise.
type ContentsWords = [u64; size_of::<Contents>() / 8];

/// `BPF_NOEXIST`: what the programs have found themselves is newer.
const NEW_ONLY: u64 = 1;

/// What a forwarder is called, as the kernel knows it: at most 15 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwarderName([u8; COMM_LEN]);

impl ForwarderName {
    /// `docker-proxy`, which publishes the ports of containers.
    pub const DOCKER_PROXY: Self = Self(*b"docker-proxy\0\0\0\0");
}

impl FromStr for ForwarderName {
    type Err = String;

    /// Takes the name of a program; of a longer one the kernel keeps the first 15 bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(['/', '\0']) {
            return Err("give the name of a program, without its folder".to_owned());
        }
        let mut name = [0; COMM_LEN];
        let length = text.len().min(COMM_LEN - 1);
        name[..length].copy_from_slice(&text.as_bytes()[..length]);
        Ok(Self(name))
    }
}

/// The maps in which the programs look forwarders up.
pub(super) struct Forwarders {
    names: HashMap<MapData, [u8; COMM_LEN], u32>,
    processes: HashMap<MapData, u32, u32>,
    /// Not zero once there has been one.
    any: Array<MapData, u32>,
    descriptors: HashMap<MapData, u64, DescriptorWords>,
    contents: HashMap<MapData, u64, ContentsWords>,
}

impl Forwarders {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            names: HashMap::try_from(take_map(ebpf, "FORWARDER_NAMES")?)?,
            processes: HashMap::try_from(take_map(ebpf, "FORWARDERS")?)?,
            any: Array::try_from(take_map(ebpf, "FORWARDING")?)?,
            descriptors: HashMap::try_from(take_map(ebpf, "DESCRIPTORS")?)?,
            contents: HashMap::try_from(take_map(ebpf, "CONTENTS")?)?,
        })
    }

    /// Says who is watched. To be called before the programs are attached: who reads from a socket
    /// is looked up once.
    pub(super) fn watch(&mut self, names: &[ForwarderName]) -> Result<(), LoadError> {
        for name in names {
            self.names.insert(name.0, 0, 0)?;
        }
        self.find(names);
        Ok(())
    }

    /// Adds what was there before. To be called once the programs are attached: what comes from now
    /// on they see.
    pub(super) fn adopt(&mut self, names: &[ForwarderName]) {
        for pid in self.find(names) {
            let ends = ProcDir::open(pid).and_then(|folder| folder.pipe_ends());
            // A process that is gone has none.
            self.adopt_pipes(pid, &ends.unwrap_or_default());
        }
    }

    /// Watches nobody.
    pub(super) fn forget(&mut self, names: &[ForwarderName]) {
        for name in names {
            let _ = self.names.remove(&name.0);
        }
        let processes: Vec<u32> = self.processes.keys().filter_map(Result::ok).collect();
        for pid in processes {
            let _ = self.processes.remove(&pid);
        }
    }

    /// Tells the programs of processes with these names, and returns them.
    fn find(&mut self, names: &[ForwarderName]) -> Vec<u32> {
        if names.is_empty() || !shows_all_processes() {
            return vec![];
        }
        let is_one = |pid: u32| {
            let stat = ProcDir::open(pid).and_then(|folder| folder.stat());
            stat.is_ok_and(|stat| stat.comm.parse().is_ok_and(|name| names.contains(&name)))
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut found = vec![];
        for pid in processes.filter(|&pid| is_one(pid)) {
            // Before the process is there, so that nobody looks past it.
            let _ = self.any.set(0, 1, 0);
            // A refusal says that it is known, or that there is no room for it to be watched.
            let refused = self.processes.insert(pid, 0, NEW_ONLY).is_err();
            if refused && self.processes.get(&pid, 0).is_err() {
                continue;
            }
            // It may have become another program before the programs knew it.
            if is_one(pid) {
                found.push(pid);
            } else {
                let _ = self.processes.remove(&pid);
            }
        }
        found
    }

    fn adopt_pipes(&mut self, pid: u32, ends: &[PipeEnd]) {
        for (reading, writing) in pair_ends(ends) {
            let key = |number| descriptor_key(pid, number);
            let id = key(reading);
            let end = Descriptor { since_ns: 0, id, source: 0, kind: DESCRIPTOR_PIPE, closed: 0 };
            let empty = Contents { source: 0, bytes: 0 };
            // A refusal says that the programs know the number, and better.
            let _ = self.contents.insert(id, bytemuck::cast::<_, ContentsWords>(empty), NEW_ONLY);
            for number in [reading, writing] {
                let end = bytemuck::cast::<_, DescriptorWords>(end);
                let _ = self.descriptors.insert(key(number), end, NEW_ONLY);
            }
        }
    }
}

/// Reading and writing descriptor of every pipe of which there is one each.
fn pair_ends(ends: &[PipeEnd]) -> Vec<(u32, u32)> {
    let mut pipes = std::collections::BTreeMap::<u64, (Vec<u32>, Vec<u32>)>::new();
    for end in ends {
        let (reading, writing) = pipes.entry(end.inode).or_default();
        if end.writes { writing } else { reading }.push(end.number);
    }
    let only = |pipe: (Vec<u32>, Vec<u32>)| match pipe {
        (reading, writing) if reading.len() == 1 && writing.len() == 1 => {
            Some((reading[0], writing[0]))
        }
        _ => None,
    };
    pipes.into_values().filter_map(only).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_kernel_makes_of_it() {
        assert_eq!("docker-proxy".parse(), Ok(ForwarderName::DOCKER_PROXY));
        let long: ForwarderName = "a-forwarder-with-a-long-name".parse().expect("a name");
        assert_eq!("a-forwarder-wit".parse(), Ok(long));
        for bad in ["", "/usr/sbin/haproxy", "a\0b"] {
            let error = bad.parse::<ForwarderName>().expect_err(bad);
            assert_eq!(error, "give the name of a program, without its folder");
        }
    }

    #[test]
    fn a_pipe_has_two_ends() {
        let end = |number, inode, writes| PipeEnd { number, inode, writes };
        let ends = [
            end(5, 70, false),
            end(6, 70, true),
            // The other end is another process's.
            end(7, 71, true),
            // Which of them is meant nobody knows.
            end(8, 72, false),
            end(9, 72, true),
            end(10, 72, true),
        ];
        assert_eq!(pair_ends(&ends), [(5, 6)]);
    }
}
