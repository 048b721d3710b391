//! Goroutines in two forms: the binary profile counts them, the dump has states, waits and
//! creators of each. A dump stops the program while it is written, has no labels, and Go
//! cuts it off, so only few goroutines are dumped.

use std::time::Duration;

use ::pprof::{Query, report};
use tokio::task::spawn_blocking;

use super::request::get;
use super::spool::Body;
use super::{Fetcher, LIMITS};
use crate::commands::pprof::target::Target;
use foundation::failure::{Because, Result};

/// Goroutines of which a dump is asked for. With the stacks of gRPC, 30,000 reach
/// [`LARGEST`].
const MOST: i64 = 10_000;
/// Where Go cuts a dump off (`writeGoroutineStacks` in runtime/pprof).
const LARGEST: u64 = 64 << 20;

/// Returns the dump, or what was counted and why there is no dump.
pub(super) async fn dump(
    fetcher: &Fetcher,
    target: &Target,
    path: &str,
    patience: Duration,
    counted: Body,
) -> Result<(Body, Option<String>)> {
    let (counted, all) = count(fetcher, target, counted).await?;
    if let Some(all) = all.filter(|all| *all > MOST) {
        let note = format!(
            "{all} goroutines are counted by their stacks only: a dump with states and waits would stop the program"
        );
        return Ok((counted, Some(note)));
    }
    let dump = match get(target, path, &fetcher.args, patience, &fetcher.spool).await {
        Ok(dump) if dump.size >= LARGEST => {
            let note = "states and waits are left out: Go cut the dump off at 64 MiB";
            return Ok((counted, Some(note.to_owned())));
        }
        Ok(dump) => dump,
        Err(failure) => {
            let note = format!("states and waits are missing: {}", failure.in_one_line());
            return Ok((counted, Some(note)));
        }
    };
    let (dump, dumped) = count(fetcher, target, dump).await?;
    // Some start and some end between the two requests.
    let note = match (dumped, all) {
        (Some(dumped), Some(all)) if dumped * 10 < all * 9 => {
            format!("states and waits are left out: the dump has {dumped} of {all} goroutines")
        }
        (None, Some(_)) => "states and waits are left out: the dump cannot be read".to_owned(),
        _ => return Ok((dump, None)),
    };
    Ok((counted, Some(note)))
}

/// `None` if it is not a profile that can be read.
async fn count(fetcher: &Fetcher, target: &Target, mut body: Body) -> Result<(Body, Option<i64>)> {
    let _turn = fetcher.turn.acquire().await;
    let counted = spawn_blocking(move || {
        let bytes = body.read().ok();
        let profile = bytes.and_then(|bytes| ::pprof::decode_within(bytes, LIMITS).ok());
        let top = profile.and_then(|profile| report::top(&profile, &Query::default()).ok());
        (body, top.map(|top| top.total))
    });
    let what = || format!("cannot read what `{}` sent", target.address);
    counted.await.because(what)
}
