//! `test` on the command line.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

use camino::Utf8PathBuf;
use clap::Args;

/// Selects tests.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Packages as in `go test`: ./pkg/... or import paths [default: all packages]
    #[arg(value_name = "PKG")]
    pub packages: Vec<String>,
    /// Build tags, as in `go test -tags`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Run only one shard of the packages, such as 2/4
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Balance shards by the timings in FILE, from `test shards --by-time` [default: by number of tests]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
}

/// One shard of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: usize,
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("it is I/N, from 1/N to N/N".to_owned()),
        }
    }
}

/// Options common to the test binaries of the checkout.
#[derive(Debug, Clone, Default, Args)]
pub struct SuiteArgs {
    /// Suites or their tests, as `--list` shows them: SUITE or SUITE/TEST, such as
    /// api.ResetSuite/TestResetWithSpec [default: all]
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    /// List the suites and their tests
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub results: ResultArgs,
    /// Flags for the test binary
    #[arg(last = true, value_name = "TEST FLAGS")]
    pub test_flags: Vec<String>,
}

/// Options for the results of tests.
#[derive(Debug, Clone, Default, Args)]
pub struct ResultArgs {
    /// Run only the tests that failed last time
    #[arg(long)]
    pub rerun_failed: bool,
    /// Retry failed tests up to N times; a test that passes on a retry is flaky
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
    /// Do not fail on flaky tests
    #[arg(long)]
    pub allow_flaky: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write the JSON to a file
    #[arg(long, value_name = "FILE")]
    pub report: Option<Utf8PathBuf>,
    /// Write JUnit XML to a file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
    /// Name the N slowest tests in the summary [default: up to 5 that took a second]
    #[arg(long, value_name = "N")]
    pub slowest: Option<usize>,
}
