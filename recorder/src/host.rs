//! Which machine this is, as files and captures name it.

use std::fs;

/// The machine and its running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// `/proc/sys/kernel/random/boot_id`; empty if it can't be read.
    pub boot_id: String,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Hardware, as `uname -m` prints it.
    pub machine: String,
}

impl Host {
    /// Asks the kernel.
    #[must_use]
    pub fn this() -> Self {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            name: text(uname.nodename()),
            boot_id: boot_id.trim().to_owned(),
            kernel: text(uname.release()),
            machine: text(uname.machine()),
        }
    }
}
