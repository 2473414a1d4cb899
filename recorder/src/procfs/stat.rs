//! `/proc/PID/stat` and `/proc/PID/status` (proc_pid_stat(5), proc_pid_status(5)).
//!
//! ```text
//! 4242 (a name) with ) in it) S 1 4242 …      fields 4: father, 22: start, clock ticks since boot
//! ```

/// What is used of `stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process's name, at most 15 bytes in the kernel.
    pub comm: String,
    /// The father's process id.
    pub ppid: u32,
    /// Clock ticks from boot to the start of the process.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads the text of `stat`. The name may hold anything, parentheses and newlines included:
    /// it ends at the last parenthesis.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let comm = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // The field after the name is the third.
        let mut fields = rest.split_ascii_whitespace();
        let ppid = fields.nth(1)?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self { comm: String::from_utf8_lossy(comm).into_owned(), ppid, start_ticks })
    }
}

/// Real user and group id from the text of `status`.
#[must_use]
pub fn real_ids(status: &[u8]) -> Option<(u32, u32)> {
    let field = |name: &[u8]| -> Option<u32> {
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
    };
    Some((field(b"Uid:")?, field(b"Gid:")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NGINX: &str = "812 (nginx) S 811 811 811 0 -1 4194368 63 0 0 0 0 0 0 0 20 0 1 0 57421 \
        11513856 803 18446744073709551615 94 94 140 0 0 0 0 1073745920 402745863 1 0 0 17 1 0 0 \
        0 0 0 94 94 94 140 140 140 140 0\n";

    #[test]
    fn a_real_line() {
        let stat = Stat::parse(NGINX.as_bytes()).expect("stat");
        assert_eq!(stat, Stat { comm: "nginx".into(), ppid: 811, start_ticks: 57_421 });
    }

    #[test]
    fn a_name_cannot_forge_the_fields_after_it() {
        for name in ["a) S 1 2 3", "((", "))", "x\ny", ") S 7 (", ""] {
            let stat = Stat::parse(NGINX.replace("nginx", name).as_bytes()).expect(name);
            assert_eq!((stat.comm.as_str(), stat.ppid, stat.start_ticks), (name, 811, 57_421));
        }
    }

    #[test]
    fn cut_text_is_refused() {
        let end_of_start = NGINX.find("57421").expect("field");
        for length in 0..end_of_start {
            assert_eq!(Stat::parse(&NGINX.as_bytes()[..length]), None, "{length}");
        }
    }

    #[test]
    fn ids_of_a_real_status_and_of_one_with_a_forged_name() {
        let status = b"Name:\tUid: 0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\n\
            Uid:\t33\t34\t35\t36\nGid:\t43\t44\t45\t46\n";
        assert_eq!(real_ids(status), Some((33, 43)));
        assert_eq!(real_ids(b"Uid:\t33\n"), None);
        assert_eq!(real_ids(b"Uid:\tx\nGid:\t1\n"), None);
        assert_eq!(real_ids(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
            let _ = real_ids(&bytes);
        }
    }
}
