//! placeholder
use crate::{cli::DoctorArgs, commands::App, failure::Result};
pub(super) fn run(_: &App<'_>, _: &DoctorArgs) -> Result<u8> {
    Ok(0)
}
