//! The one way to wait outside of a plan's step: until something is found, time
//! is up, or the user asks to stop. What reports its changes is awaited; only what
//! does not (files and processes of others) is looked at again and again.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep_until;

use crate::failure::{Because, Result};
use crate::signals::Signals;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Waited<T> {
    Found(T),
    TimedOut,
    /// The user has asked to stop.
    Interrupted,
}

/// When a wait is given up. By default it has no limit, and signals do not end it.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct Wait<'a> {
    end: Option<Instant>,
    signals: Option<&'a Signals>,
}

impl<'a> Wait<'a> {
    /// At most this long from now.
    pub fn within(mut self, limit: Duration) -> Self {
        // None where the clock does not go that far.
        self.end = Instant::now().checked_add(limit);
        self
    }

    /// Only until the user asks to stop.
    pub fn or_signal(mut self, signals: &'a Signals) -> Self {
        self.signals = Some(signals);
        self
    }

    /// Calls `look` now and after each period, and a last time at the end of the
    /// limit, until it returns a value.
    ///
    /// # Errors
    /// Those of `look`, which end the wait.
    pub fn look_every<T, E>(
        &self,
        period: Duration,
        mut look: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Waited<T>, E> {
        loop {
            let now = Instant::now();
            if let Some(found) = look()? {
                return Ok(Waited::Found(found));
            }
            if self.end.is_some_and(|end| now >= end) {
                return Ok(Waited::TimedOut);
            }
            let next = Instant::now() + period;
            let next = self.end.map_or(next, |end| next.min(end));
            match self.signals {
                Some(signals) => signals.wait_until(next),
                None => std::thread::sleep(next.saturating_duration_since(Instant::now())),
            }
            if self.signals.is_some_and(|signals| signals.count() > 0) {
                return Ok(Waited::Interrupted);
            }
        }
    }

    /// Awaits `future` in this thread, which must not be in a runtime.
    ///
    /// # Errors
    /// When the system has no file descriptors left.
    pub fn until<T>(&self, future: impl Future<Output = T>) -> Result<Waited<T>> {
        let mut count = self.signals.map(Signals::subscribe);
        let signal = async {
            match &mut count {
                Some(count) => drop(count.wait_for(|count| *count > 0).await),
                None => std::future::pending().await,
            }
        };
        let time = async {
            match self.end {
                Some(end) => sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        };
        Ok(runtime()?.block_on(async {
            tokio::select! {
                biased;
                () = signal => Waited::Interrupted,
                found = future => Waited::Found(found),
                () = time => Waited::TimedOut,
            }
        }))
    }
}

/// A runtime that is all of the calling thread's: children die with the thread
/// that starts them.
///
/// # Errors
/// When the system has no file descriptors left.
pub fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.because(|| "cannot wait for events".to_owned())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn a_wait_ends_with_what_was_looked_for() {
        let mut looks = 0;
        let third = Wait::default().look_every(SHORT, || {
            looks += 1;
            Ok::<_, Infallible>((looks == 3).then_some(looks))
        });
        assert_eq!(third, Ok(Waited::Found(3)));
        let failed = Wait::default().look_every(LONG, || Err::<Option<()>, _>("x"));
        assert_eq!(failed, Err("x"));
    }

    #[test]
    fn a_wait_that_is_over_has_looked_once() {
        let mut looks = 0;
        let late = Wait::default().within(Duration::ZERO);
        let late = late.look_every(LONG, || {
            looks += 1;
            Ok::<_, Infallible>(None::<()>)
        });
        assert_eq!((late, looks), (Ok(Waited::TimedOut), 1));
        // The period does not lengthen the limit.
        let late = Wait::default().within(SHORT);
        let late = late.look_every(LONG, || Ok::<_, Infallible>(None::<()>));
        assert_eq!(late, Ok(Waited::TimedOut));
        let late = Wait::default().within(SHORT).until(pending::<()>());
        assert_eq!(late.unwrap(), Waited::TimedOut);
    }

    #[test]
    fn a_signal_ends_a_wait_at_once() {
        let signals = Signals::default();
        let wait = Wait::default().or_signal(&signals);
        assert_eq!(wait.until(async { 3 }).unwrap(), Waited::Found(3));
        let stopped = wait.look_every(LONG, || {
            signals.raise();
            Ok::<_, Infallible>(None::<()>)
        });
        assert_eq!(stopped, Ok(Waited::Interrupted));
        let stopped = wait.until(pending::<()>()).unwrap();
        assert_eq!(stopped, Waited::Interrupted);
    }
}
