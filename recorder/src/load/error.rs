//! Why the kernel programs could not be put in place.

use std::{error::Error, io};

use aya::{
    EbpfError,
    maps::{MapError, MapType},
    sys::is_map_supported,
};

/// Why there are no kernel programs.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel said no.
    #[error(
        "the kernel programs need root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run it with sudo, or see --help"
    )]
    NoPrivilege,
    /// Linux before 5.8.
    #[error("this kernel has no BPF ring buffer: Linux 5.10 or newer is needed")]
    NoRingBuffer,
    /// There is no cgroup v2 tree to attach to.
    #[error(
        "no cgroup v2 tree is mounted, and mounting one failed: {source}; mount one (`mount -t cgroup2 none DIR`) and try again"
    )]
    NoCgroup {
        /// Why it could not be mounted.
        source: io::Error,
    },
    /// We are inside a container that sees only its own part of the tree.
    #[error(
        "only a part of the host's cgroup v2 tree is visible here: run on the host, or start the container with --cgroupns=host"
    )]
    CgroupNamespace,
    /// Not a size for a ring buffer.
    #[error("a ring of {bytes} bytes is not possible: give a power of two of at least {page}")]
    RingBytes {
        /// What was asked for.
        bytes: u32,
        /// Bytes of a page.
        page: u32,
    },
    /// The object and this program do not belong together.
    #[error("the built-in kernel programs have no map {name}: rebuild them with `make probes`")]
    NoMap {
        /// The map's name.
        name: &'static str,
    },
    /// No descriptor is to be had.
    #[error("the ring buffer cannot be waited for: {0}; raise the limit of open files")]
    Wait(#[source] io::Error),
    /// What is told about a program could not be read.
    #[error("what the kernel tells of its programs could not be read: {0}")]
    Programs(#[source] io::Error),
    /// Anything else about the maps.
    #[error("the maps of the kernel programs could not be set up: {}", innermost(.source))]
    Maps {
        /// What aya said.
        source: EbpfError,
    },
    /// A map could not be read or changed.
    #[error("a map of the kernel programs could not be used: {}", innermost(.0))]
    Map(#[from] MapError),
}

/// Finds out what an error in creating the maps is about.
pub(super) fn from_maps(source: EbpfError) -> LoadError {
    if is_permission_denied(&source) {
        LoadError::NoPrivilege
    } else if matches!(is_map_supported(MapType::RingBuf), Ok(false)) {
        LoadError::NoRingBuffer
    } else {
        LoadError::Maps { source }
    }
}

/// Whether a system call at the bottom of `error` said `EPERM` or `EACCES`.
fn is_permission_denied(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

/// The text of `error` with that of what caused it, if that says more.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    match chain(error).last().map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create_error(errno: i32) -> EbpfError {
        let io_error = io::Error::from_raw_os_error(errno);
        MapError::CreateError { name: "EVENTS".to_owned(), io_error }.into()
    }

    #[test]
    fn missing_privilege_says_what_to_do() {
        let error = from_maps(create_error(1));
        assert_eq!(
            error.to_string(),
            "the kernel programs need root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run it with sudo, or see --help"
        );
    }

    #[test]
    fn another_failure_names_map_and_cause() {
        let error = innermost(&create_error(12));
        assert!(error.contains("`EVENTS`") && error.contains("Cannot allocate memory"), "{error}");
    }
}
