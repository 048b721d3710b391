//! The text of a report, with a limit: a name may be a megabyte long and occur in every
//! line.

use std::fmt;

use pprof_engine::{Budget, Profile, Result};

/// Text with a maximum length.
#[derive(Debug)]
pub(crate) struct Out {
    text: String,
    budget: Budget,
    fits: Result<()>,
}

impl Out {
    /// An empty text for a report on `profile`.
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            text: String::new(),
            budget: Budget::names(profile, "the text of the report"),
            fits: Ok(()),
        }
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        if self.fits.is_ok() {
            self.fits = self.budget.take(text.len());
        }
        if self.fits.is_ok() {
            self.text.push_str(text);
        }
    }

    pub(crate) fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    /// # Errors
    /// The limit is exceeded: nothing more is added.
    pub(crate) fn check(&self) -> Result<()> {
        self.fits.clone()
    }

    /// # Errors
    /// Those of [`Self::check`].
    pub(crate) fn finish(self) -> Result<String> {
        self.fits.map(|()| self.text)
    }
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        self.fits.as_ref().copied().map_err(|_| fmt::Error)
    }
}
