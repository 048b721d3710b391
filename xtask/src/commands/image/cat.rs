//! `image cat`: one file as it is.

use oci::{Fate, Flow, Kind};

use super::{WhichImage, open, single};
use crate::app::App;
use foundation::ctx::image_source::failure;
use foundation::failure::{Failure, Result};
use foundation::typed;
use foundation::ui;

pub(super) fn run(app: &App<'_>, which: &WhichImage, path: &str) -> Result<u8> {
    let source = open(app, which)?;
    let image = single(&source, which)?;
    let path = path.trim_start_matches("./").trim_matches('/');
    let mut found = None;
    let mut pipe_closed = false;
    let walked = image.walk(|entry, fate, body| {
        if fate != Fate::Kept || entry.path != path {
            return Ok(Flow::Continue);
        }
        found = Some(entry.kind.clone());
        if entry.kind == Kind::File {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = body.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                if ui::try_print_bytes(&buffer[..read]).is_err() {
                    pipe_closed = true;
                    return Ok(Flow::Stop);
                }
            }
        }
        // The rest is read too: only its end verifies what was printed.
        Ok(Flow::Continue)
    });
    if pipe_closed {
        return Ok(0);
    }
    walked.map_err(|error| failure(&source.name, &error))?;
    let what = match found {
        Some(Kind::File) => return Ok(0),
        None => format!("`{}` has no file `{path}`", source.name),
        Some(Kind::Symlink(to) | Kind::HardLink(to)) => format!("`{path}` is a link to `{to}`"),
        Some(Kind::Directory) => format!("`{path}` is a directory"),
        Some(_) => format!("`{path}` is not a regular file"),
    };
    Err(Failure::usage(what).hint(typed!("image ls {}", source.name)))
}
