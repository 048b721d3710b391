//! `completions man`: manual pages, from the same command line as help.

use camino::Utf8Path;
use clap_mangen::Man;

use foundation::failure::{Because, Result};
use foundation::record::files;
use foundation::ui;

pub(super) fn run(command: clap::Command, out: Option<&Utf8Path>, is_dry: bool) -> Result<u8> {
    let Some(folder) = out else {
        ui::print(&page(command, "cargo-xtask")?);
        return Ok(0);
    };
    let mut pages = Vec::new();
    collect(&command, "cargo-xtask", &mut pages)?;
    if !is_dry {
        for (name, text) in &pages {
            let path = folder.join(format!("{name}.1"));
            files::replace(&path, text.as_bytes(), 0o644)
                .because(|| format!("cannot write `{path}`"))?;
        }
    }
    let done = if is_dry { "would write" } else { "wrote" };
    ui::print(&format!(
        "{done} {} pages to {folder}; read one: man cargo-xtask\n",
        pages.len()
    ));
    Ok(0)
}

/// The page of each command that can be typed, by name.
fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, String)>) -> Result<()> {
    pages.push((name.to_owned(), page(command.clone(), name)?));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: clap::Command, name: &str) -> Result<String> {
    let typed = name.replacen('-', " ", 1).replace("xtask-", "xtask ");
    let command = command.name(name.to_owned()).bin_name(typed);
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .because(|| format!("cannot write the page of {name}"))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
