//! Corrects libdtrace's reports of drops.
//!
//! libdtrace 2.0.7 on Linux is wrong about two kinds:
//!
//! - It reports drops of a CPU's principal buffer when it reads that buffer the next time, so it never
//!   reports those of the last reading. The same holds for aggregations that were empty in the end. The
//!   kernel's own counters, read at the end, tell how many are missing.
//! - It counts drops of speculations itself. After each round it adds its count once more to the status that
//!   it has just reported, and subtracts in the wrong order: 18446744073709551615 drops mean one, and the
//!   next round reports it again.

use std::collections::BTreeMap;

use crate::data::loss::{DropKind, DropReport};

/// The kernel's counters of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuDrops {
    pub(crate) cpu: u32,
    pub(crate) principal: u64,
    pub(crate) aggregation: u64,
}

/// Corrects libdtrace's reports.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The drops of each CPU's buffers reported so far.
    told: BTreeMap<(DropKind, u32), u64>,
    speculations: Speculations,
}

impl Ledger {
    /// Returns the corrected report; `None` if nothing is new in it.
    pub(crate) fn correct(&mut self, report: DropReport) -> Option<DropReport> {
        if report.kind == DropKind::Speculation {
            let drops = self.speculations.correct(report.drops, report.total);
            return self.speculative(drops);
        }
        if let Some(cpu) = report.cpu {
            let told = self.told.entry((report.kind, cpu)).or_default();
            *told = told.saturating_add(report.drops);
        }
        Some(report)
    }

    /// Returns what is still to be reported after the last round, according to the kernel's counters.
    pub(crate) fn settle(&mut self, counters: &[CpuDrops]) -> Vec<DropReport> {
        let drops = self.speculations.settle();
        let mut reports = Vec::from_iter(self.speculative(drops));
        for counter in counters {
            for (kind, total, what) in [
                (DropKind::Principal, counter.principal, ""),
                (DropKind::Aggregation, counter.aggregation, "aggregation "),
            ] {
                let cpu = counter.cpu;
                let told = self.told.entry((kind, cpu)).or_default();
                let drops = total.saturating_sub(*told);
                if drops > 0 {
                    *told = total;
                    let message = format!("{drops} {what}drop{} on CPU {cpu}", plural(drops));
                    reports.push(DropReport { kind, cpu: Some(cpu), drops, total, message });
                }
            }
        }
        reports
    }

    fn speculative(&self, drops: u64) -> Option<DropReport> {
        (drops > 0).then(|| DropReport {
            kind: DropKind::Speculation,
            cpu: None,
            drops,
            total: self.speculations.told,
            message: format!("{drops} speculative drop{}", plural(drops)),
        })
    }
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Follows libdtrace's two copies of the status, to interpret its reports.
#[derive(Debug, Default)]
struct Speculations {
    /// The status that the next report is compared with.
    status: u64,
    /// The kernel's count: the true number without libdtrace's own count.
    kernel: u64,
    /// libdtrace's own count.
    own: u64,
    told: u64,
}

impl Speculations {
    /// Returns the number of new drops in a report of `drops` and `total`.
    fn correct(&mut self, drops: u64, total: u64) -> u64 {
        let difference = drops.wrapping_neg();
        if total.wrapping_sub(drops) == self.status {
            // The status has been fetched, so it is correct.
            self.status = total;
            self.kernel = total.saturating_sub(self.own);
        } else if total == self.status && difference < drops {
            // libdtrace has added its own count to the status, and subtracted the new status from the old
            // one.
            self.own = difference;
            self.status = self.status.saturating_add(self.own);
        } else {
            // Neither case: trust the number.
            self.status = self.told.saturating_add(drops);
            self.kernel = self.status.saturating_sub(self.own);
        }
        self.tell(self.kernel.saturating_add(self.own))
    }

    /// Returns the drops that have not been reported when libdtrace has fetched its status for the last time.
    /// It reports nothing if the status is unchanged, so the status is correct either way.
    fn settle(&mut self) -> u64 {
        self.tell(self.status)
    }

    fn tell(&mut self, count: u64) -> u64 {
        let news = count.saturating_sub(self.told);
        self.told += news;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts like libdtrace (`dtrace_work`, `dtrace_status`).
    #[derive(Default)]
    struct Libdtrace {
        status: u64,
        own: u64,
        kernel: u64,
    }

    impl Libdtrace {
        /// Fetches the status. Returns the report, if there is one.
        fn fetch(&mut self) -> Option<(u64, u64)> {
            let old = std::mem::replace(&mut self.status, self.kernel + self.own);
            (old != self.status).then(|| (self.status.wrapping_sub(old), self.status))
        }

        /// Simulates the end of a round in which `n` were dropped.
        fn round(&mut self, n: u64) -> Option<(u64, u64)> {
            self.own += n;
            let old = self.status;
            self.status += self.own;
            (self.own > 0).then(|| (old.wrapping_sub(self.status), old))
        }
    }

    #[test]
    fn speculative_drops_are_told_once_whatever_libdtrace_repeats() {
        let mut library = Libdtrace::default();
        let mut ledger = Speculations::default();
        let mut told = 0;
        for n in [0, 5, 0, 0, 1, 120, 0] {
            if let Some((drops, total)) = library.round(n) {
                told += ledger.correct(drops, total);
            }
            assert_eq!(told, library.own);
        }
        library.kernel = 3;
        for n in [0, 7, 0] {
            if let Some((drops, total)) = library.fetch() {
                told += ledger.correct(drops, total);
            }
            if let Some((drops, total)) = library.round(n) {
                told += ledger.correct(drops, total);
            }
            assert_eq!(told, library.own + 3);
        }
        library.own += 20;
        if let Some((drops, total)) = library.fetch() {
            told += ledger.correct(drops, total);
        }
        assert_eq!((told + ledger.settle(), ledger.settle()), (library.own + 3, 0));
    }

    #[test]
    fn a_last_status_that_is_the_same_by_chance_is_believed() {
        let mut ledger = Speculations::default();
        assert_eq!((ledger.correct(5u64.wrapping_neg(), 0), ledger.status), (5, 5));
        assert_eq!((ledger.correct(5u64.wrapping_neg(), 5), ledger.status), (0, 10));
        // Five more make the status 10: no difference, no report.
        assert_eq!((ledger.settle(), ledger.told), (5, 10));
    }

    #[test]
    fn a_library_that_reports_rightly_is_left_alone() {
        let mut ledger = Speculations::default();
        assert_eq!((ledger.correct(4, 4), ledger.correct(2, 6), ledger.settle()), (4, 2, 0));
        let mut ledger = Speculations::default();
        assert_eq!((ledger.correct(4, 0), ledger.correct(2, 0), ledger.settle()), (4, 2, 0));
    }

    fn principal(drops: u64) -> DropReport {
        DropReport {
            kind: DropKind::Principal,
            cpu: Some(1),
            drops,
            total: 0,
            message: String::new(),
        }
    }

    #[test]
    fn what_the_kernel_has_counted_and_libdtrace_not_told_is_told_at_the_end() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.correct(principal(10)), Some(principal(10)));
        let counters = [
            CpuDrops { cpu: 0, principal: 0, aggregation: 1 },
            CpuDrops { cpu: 1, principal: 25, aggregation: 0 },
        ];
        let reports = ledger.settle(&counters);
        let told: Vec<_> = reports.iter().map(|r| (r.kind, r.cpu, r.drops, r.total)).collect();
        assert_eq!(
            told,
            [(DropKind::Aggregation, Some(0), 1, 1), (DropKind::Principal, Some(1), 15, 25)]
        );
        assert_eq!(reports[0].message, "1 aggregation drop on CPU 0");
        assert_eq!(reports[1].message, "15 drops on CPU 1");
        assert_eq!(ledger.settle(&counters), []);
    }

    #[test]
    fn counters_that_say_less_than_was_told_add_nothing() {
        let mut ledger = Ledger::default();
        ledger.correct(principal(10));
        let counters = [CpuDrops { cpu: 1, principal: 9, aggregation: 0 }];
        assert_eq!(ledger.settle(&counters), []);
    }
}
