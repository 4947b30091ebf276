//! What does the kernel say of a process in `/proc/PID/status`?

use std::io;

use super::lossy::read_lossy;

/// The fields of a process; a default value has none.
#[derive(Debug, Default)]
pub(in crate::worker) struct Status(String);

impl Status {
    /// Reads the fields of a process.
    pub(in crate::worker) fn of(pid: i32) -> io::Result<Status> {
        read_lossy(format!("/proc/{pid}/status")).map(Status)
    }

    /// Returns the text of a field, without the space around it.
    pub(in crate::worker) fn field(&self, name: &str) -> Option<&str> {
        let is_named =
            |line: &'_ str| line.strip_prefix(name).is_some_and(|it| it.starts_with(':'));
        let line = self.0.lines().find(|line| is_named(line))?;
        line.split_once(':').map(|(_, text)| text.trim())
    }

    /// Returns one of the numbers of a field.
    pub(in crate::worker) fn number(&self, name: &str, at: usize) -> Option<u32> {
        self.field(name)?.split_ascii_whitespace().nth(at)?.parse().ok()
    }

    /// Returns whether the process is in a PID namespace within that of `/proc`. It has a number in each then.
    pub(super) fn is_nested(&self) -> bool {
        self.number("NSpid", 1).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Name:\tPid: 7\nPid:\t12\nPPid:\t3\nUid:\t0\t1\t2\t4\nGroups:\t \n";
        let status = Status(text.to_owned());
        assert_eq!((status.field("Pid"), status.number("PPid", 0)), (Some("12"), Some(3)));
        let ids: Vec<_> = (0..5).map(|at| status.number("Uid", at)).collect();
        assert_eq!(ids, [Some(0), Some(1), Some(2), Some(4), None]);
        assert_eq!((status.field("Groups"), status.number("Groups", 0)), (Some(""), None));
        assert_eq!((status.field("id"), status.field("Pi"), status.field("")), (None, None, None));
    }

    #[test]
    fn a_process_in_an_inner_namespace_has_several_numbers() {
        for (numbers, nested) in [("NSpid:\t17\n", false), ("NSpid:\t17\t1\n", true), ("", false)] {
            assert_eq!(Status(numbers.to_owned()).is_nested(), nested, "{numbers:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_process_that_does_not_exist_has_no_status() {
        assert!(Status::of(i32::MAX).is_err() && Status::of(-1).is_err());
    }
}
