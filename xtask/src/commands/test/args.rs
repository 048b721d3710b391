//! `test` on the command line.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

use camino::Utf8PathBuf;
use clap::Args;

/// Which tests.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Packages as for go: ./pkg/..., import paths [default: all of the workspace]
    #[arg(value_name = "PKG")]
    pub packages: Vec<String>,
    /// Build tags, as for go
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Only the packages of one machine of several: 2/4
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// What the machines split by, from `test shards --by-time` [default: how many tests]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
}

/// One machine of several.
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

/// What becomes of results, of whatever tests.
#[derive(Debug, Clone, Default, Args)]
pub struct ResultArgs {
    /// Only what failed the last time
    #[arg(long)]
    pub rerun_failed: bool,
    /// Run a test that failed so many times more; one that passes then is flaky
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
    /// Flaky tests are no failure
    #[arg(long)]
    pub allow_flaky: bool,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
    /// The same JSON into a file
    #[arg(long, value_name = "FILE")]
    pub report: Option<Utf8PathBuf>,
    /// JUnit's XML into a file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
}
