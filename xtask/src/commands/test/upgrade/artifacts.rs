//! The boot files of released versions: `release-artifacts` of the Makefile,
//! with checksums, continued after a broken transfer, and without repeated
//! downloads.

use camino::Utf8Path;

use crate::app::App;
use crate::commands::build::repository::Repository;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::host::Host;
use foundation::ctx::image_reference;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Effect, Plan, Step};

/// The default of `[upgrade] releases` in the settings.
const RELEASES: &str = "https://github.com/siderolabs/talos/releases/download";
/// The boot files of a release, and their names in the release.
const RELEASED: [(&str, &str); 2] = [
    ("vmlinuz", "vmlinuz-amd64"),
    ("initramfs.xz", "initramfs-amd64.xz"),
];
const SUMS: &str = "sha256sum.txt";
/// Seconds for one file.
const LIMIT: u64 = 3600;
/// Maximum bytes of the list of checksums, and of any other file. An initramfs
/// has some hundred megabytes.
const LARGEST_SUMS: u64 = 1 << 20;
const LARGEST: u64 = 1 << 30;
/// Maximum redirects of one request: a release needs one.
const REDIRECTS: &str = "5";

/// Transfers into a folder of this program inside the release's folder, which
/// no other user can write to, so that a link in `_out` is never followed. A
/// complete file replaces the old one by a rename. Arguments: the release,
/// maximum bytes, URL, the released name, the wanted name; then those of curl.
const ROOM: &str = r#"release=$1 most=$2 url=$3 name=$4 file=$5
shift 5
fail() { echo "$name: $1" >&2; exit 1; }
# Whether no link has led here.
is_own() { [ "$(stat -c %d:%i .)" = "$(stat -c %d:%i "../$1" 2>/dev/null)" ]; }
is_own "$release" || fail "_out/$release is a link, and is not written through: remove it"
mkdir -m 700 .part 2>/dev/null || [ -d .part ] || fail "_out/$release/.part is in the way: remove it"
cd -P .part
case $(stat -c '%u %a' .) in "$(id -u) 700" | "$(id -u) 2700") ;; *) false ;; esac && is_own .part ||
  fail "_out/$release/.part is not a folder that is ours alone: remove it"
if [ -L "$file" ] || [ ! -f "$file" ] || [ "$(stat -c %h "$file")" != 1 ]; then rm -rf "./$file"; fi
ulimit -f $((most / 512))
get() {
  curl --fail --location --no-progress-meter --connect-timeout 30 --speed-limit 100 --speed-time 60 \
    --max-filesize "$most" "$@" --url "$url"
}
keep() {
  mv -fT "./$file" "../$file"
  cd ..
  rmdir .part 2>/dev/null || true
}
"#;

/// The list of checksums is always fetched again.
const FETCH_SUMS: &str = r#"rm -f "./$file"
get "$@" --retry 3 --output "$file"
keep"#;

/// A partial file is continued; one with unexpected contents is removed, and
/// only a complete file gets its name. Exit codes of curl: 22 and 33: the
/// server has no such range; 63: the file is too large.
const FETCH: &str = r#"sum() {
  while read -r sum path; do
    case ${path#\*} in "$name" | "./$name" | "_out/$name") echo "$sum" ;; esac
  done <../sha256sum.txt
}
is_whole() { [ -s "$file" ] && echo "$(sum)  $file" | sha256sum --check --strict --status -; }
is_too_large() { [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -ge "$most" ]; }
[ -f ../sha256sum.txt ] || fail "there is no sha256sum.txt beside it"
for try in 1 2 3; do
  if is_whole; then break; fi
  code=0
  get "$@" --continue-at - --output "$file" || code=$?
  if [ $code = 0 ] && is_whole; then break; fi
  case $code in 0|22|33|63) rm -f "$file" ;; esac
  if is_too_large; then rm -f "$file"; fi
done
if [ ! -s "$file" ]; then
  fail "not to be had, or not what sha256sum.txt says"
elif ! is_whole; then
  fail "the transfer broke three times; what came is kept"
fi
keep"#;

/// Existing files are not fetched again.
pub(super) fn plan(app: &App<'_>, checkout: &Checkout) -> Result<Plan> {
    let repository = Repository::open(&checkout.dir)?;
    let releases = releases(&checkout.dir, &repository)?;
    let from = app.ctx.config.upgrade.releases.as_deref();
    let from = from.unwrap_or(RELEASES).trim_end_matches('/');
    let protocols = protocols(from)?;
    let mut plan = Plan::new(format!("Kernels and initramfs of {}", releases.join(", ")));
    for release in &releases {
        let folder = checkout.out().join(release);
        // A link was not fetched and checked by this step.
        let is_there = |file: &str| {
            let found = folder.join(file).symlink_metadata();
            found.is_ok_and(|found| found.is_file())
        };
        let missing: Vec<_> = RELEASED
            .iter()
            .filter(|(file, _)| !is_there(file))
            .collect();
        if missing.is_empty() {
            app.ui.progress(&format!("_out/{release} is there"));
            continue;
        }
        let url = format!("{from}/{release}");
        plan.push(Step::new(
            format!("{release} goes there"),
            Action::CreateDir {
                path: folder.clone(),
            },
        ));
        let step = |why: String, script: &str, most: u64, released: &str, file: &str| {
            let script = format!("{ROOM}{script}");
            let (most, url) = (most.to_string(), format!("{url}/{released}"));
            let words = [
                "sh", "-ec", &script, "fetch", release, &most, &url, released, file,
            ];
            let words = words.into_iter().chain(protocols.iter().copied());
            Step::run(why, words)
                .cwd(folder.clone())
                .effect(Effect::Creates)
                .deadline(LIMIT)
        };
        let why = format!("checksums of {release}");
        plan.push(step(why, FETCH_SUMS, LARGEST_SUMS, SUMS, SUMS));
        for (file, released) in missing {
            let why = format!("{released} of {release}, checked");
            plan.push(step(why, FETCH, LARGEST, released, file));
        }
    }
    if !plan.steps.is_empty() {
        plan.note(format!(
            "{SUMS} comes from the same place as the files and is not signed: it tells a broken \
             transfer, and not who made the release"
        ));
    }
    if !plan.steps.is_empty() && !app.is_dry() && Host::which("curl").is_none() {
        return Err(
            Failure::host("releases are fetched, and there is no `curl`")
                .hint("install curl; or put the files there yourself"),
        );
    }
    Ok(plan)
}

/// Returns the protocols for requests and redirects: TLS only, except for a
/// source that the user has set without it.
fn protocols(from: &str) -> Result<[&'static str; 6]> {
    let refuse = || {
        Failure::usage(format!("invalid release location `{from}`"))
            .cause("`[upgrade] releases` in .cargo/xtask.toml")
            .hint("https://HOST/PATH")
    };
    let (scheme, rest) = from.split_once("://").ok_or_else(refuse)?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || from.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(refuse());
    }
    let (first, then) = match scheme {
        "https" => ("=https", "=https"),
        "http" if image_reference::is_local(host) => ("=http,https", "=http,https"),
        "http" => ("=http,https", "=https"),
        _ => return Err(refuse()),
    };
    Ok([
        "--proto",
        first,
        "--proto-redir",
        then,
        "--max-redirs",
        REDIRECTS,
    ])
}

/// Returns `RELEASES` of the Makefile; the environment may override it.
fn releases(dir: &Utf8Path, repository: &Repository) -> Result<Vec<String>> {
    let path = dir.join("Makefile");
    let text = files::text(&path, files::MEDIUM)?
        .ok_or_else(|| Failure::host(format!("there is no `{path}`")))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RELEASES ?="));
    let named = repository
        .environment
        .get("RELEASES")
        .map(String::as_str)
        .or(line);
    let releases: Vec<String> = named
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let sound = |release: &String| talos::version::TalosVersion::parse(release).is_ok();
    if releases.is_empty() || !releases.iter().all(sound) {
        return Err(Failure::host(format!(
            "`{path}` names no RELEASES to upgrade from"
        )));
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_source_on_this_machine_may_send_curl_on_without_tls() {
        let of = |from: &str| protocols(from).map(|words| (words[1], words[3])).ok();
        assert_eq!(of(RELEASES), Some(("=https", "=https")));
        assert_eq!(
            of("http://127.0.0.1:80/x"),
            Some(("=http,https", "=http,https"))
        );
        assert_eq!(of("http://mirror.corp/x"), Some(("=http,https", "=https")));
        for wrong in [
            "file:///etc",
            "-o/etc/x",
            "https://",
            "ftp://a/b",
            "https://a b/",
            "",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
