//! What stands in place of a profile on the command line of `go tool pprof`: the executable
//! before it, and URLs.

use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::FetchArgs;
use super::endpoint;
use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// First bytes of ELF, Mach-O (of one architecture and of several) and PE files.
const EXECUTABLES: &[&[u8]] = &[b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ"];

/// What is opened.
#[derive(Debug)]
pub(super) enum Operands {
    Files(Vec<Utf8PathBuf>),
    /// URLs of one profile of several programs.
    Fetch(Box<FetchArgs>),
}

impl Operands {
    /// # Errors
    /// If URLs do not fit together, or with files, or if none is a profile.
    pub(super) fn new(app: &App<'_>, operands: &[Utf8PathBuf]) -> Result<Self> {
        let urls: Vec<Result<FetchArgs>> = operands
            .iter()
            .filter_map(|operand| endpoint::fetch(operand.as_str()))
            .collect();
        if urls.is_empty() {
            return Ok(Self::Files(files(app, operands)?));
        }
        if urls.len() < operands.len() {
            return Err(Failure::usage("files and URLs cannot be opened together")
                .hint("fetch first; `pprof list` shows what was fetched"));
        }
        let urls: Result<Vec<FetchArgs>> = urls.into_iter().collect();
        let mut urls = urls?.into_iter();
        let mut all = urls.next().unwrap_or_default();
        for other in urls {
            let is_same = (&other.profile, other.seconds, other.gc, other.port)
                == (&all.profile, all.seconds, all.gc, all.port);
            if !is_same || other.connection.insecure != all.connection.insecure {
                return Err(Failure::usage("the URLs are of different profiles")
                    .hint(typed!("pprof SERVICE PROFILE --endpoint HOST:PORT")));
            }
            all.endpoint.extend(other.endpoint);
        }
        Ok(Self::Fetch(Box::new(all)))
    }
}

fn files(app: &App<'_>, operands: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>> {
    match operands {
        [first, rest @ ..] if is_executable(first) => {
            if rest.is_empty() {
                return Err(
                    Failure::usage(format!("`{first}` is an executable, not a profile"))
                        .hint("name the profile that it wrote"),
                );
            }
            app.ui.note(&format!(
                "the executable `{first}` is not read: profiles of Go name their functions themselves"
            ));
            Ok(rest.to_vec())
        }
        _ => Ok(operands.to_vec()),
    }
}

fn is_executable(path: &Utf8Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && EXECUTABLES.iter().any(|magic| start.starts_with(magic))
}
