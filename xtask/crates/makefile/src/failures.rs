//! With `--keep-going`: what can no longer be made after a failure.

use std::collections::BTreeSet;

/// The jobs of a plan that have failed, by index into `Planned::jobs`.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    failed: BTreeSet<usize>,
}

impl Failures {
    pub fn add(&mut self, job: usize) {
        self.failed.insert(job);
    }

    /// Whether `job`, or one that it needs, has failed; what has no job needs all.
    pub fn reach(&self, jobs: &[Vec<usize>], job: Option<usize>) -> bool {
        let Some(job) = job.filter(|_| !self.failed.is_empty()) else {
            return !self.failed.is_empty();
        };
        let mut seen = BTreeSet::from([job]);
        let mut open = vec![job];
        while let Some(job) = open.pop() {
            if self.failed.contains(&job) {
                return true;
            }
            let needs = jobs.get(job).into_iter().flatten();
            open.extend(needs.filter(|needed| seen.insert(**needed)));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_failed_job_fails_too() {
        let jobs = [vec![], vec![0], vec![], vec![2], vec![1, 3]];
        let mut failures = Failures::default();
        assert!(!failures.reach(&jobs, Some(4)) && !failures.reach(&jobs, None));
        failures.add(1);
        let reached = (0..5).map(|job| failures.reach(&jobs, Some(job)));
        assert_eq!(
            reached.collect::<Vec<bool>>(),
            [false, true, false, false, true]
        );
        assert!(failures.reach(&jobs, None));
    }
}
