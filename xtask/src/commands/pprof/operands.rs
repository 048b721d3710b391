//! What stands in place of a profile on the command line of `go tool pprof`: the executable
//! before it, and a URL.

use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};

use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// First bytes of ELF, Mach-O (of one architecture and of several) and PE files.
const EXECUTABLES: &[&[u8]] = &[b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ"];

/// Returns the profiles among the operands.
///
/// # Errors
/// If one is a URL, or none is a profile.
pub(super) fn profiles(app: &App<'_>, operands: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>> {
    if let Some(failure) = operands.iter().find_map(|operand| url(operand.as_str())) {
        return Err(failure);
    }
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

/// `http://host:6060/debug/pprof/heap?gc=1`
fn url(operand: &str) -> Option<Failure> {
    let rest = operand.strip_prefix("http://");
    let rest = rest.or_else(|| operand.strip_prefix("https://"))?;
    let (endpoint, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.split('?').next().unwrap_or_default();
    let profile = match path.rsplit('/').next().unwrap_or_default() {
        "" | "pprof" => "heap",
        // Go's name of the handler.
        "profile" => "cpu",
        profile => profile,
    };
    let service = endpoint.split(':').next().unwrap_or_default();
    Some(
        Failure::usage(format!("`{operand}` is not a file")).hint(typed!(
            "pprof {} {} --endpoint {}",
            service,
            profile,
            endpoint
        )),
    )
}
