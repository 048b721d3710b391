//! placeholder
use crate::{cli::EmbedArgs, commands::App, failure::Result};
pub(super) fn run(_: &App<'_>, _: &EmbedArgs) -> Result<u8> {
    Ok(0)
}
