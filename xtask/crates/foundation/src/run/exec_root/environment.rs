//! The environment of a test as root: variables that Go's runtime and tests read,
//! and none that makes a program load, find or write other files. The caller
//! checks it for early error messages, the helper for safety.

use crate::failure::{Failure, Result};

/// Variables that are always passed on.
const LISTED: &[&str] = &[
    "CI",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GORACE",
    "GOTRACEBACK",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "PLATFORM",
    "TERM",
    "TZ",
];

/// Variables that are never passed on. sudo removes the first part from every
/// environment (`initial_badenv_table` in its `plugins/sudoers/env.c`); what
/// has a prefix in [`BANNED_PREFIXES`] is not repeated.
const BANNED: &[&str] = &[
    "AUTHSTATE",
    "BASHOPTS",
    "CDPATH",
    "DLC_ACE",
    "ENV",
    "FPATH",
    "GLOBIGNORE",
    "HOSTALIASES",
    "IFS",
    "LIBPATH",
    "LOCALDOMAIN",
    "NLSPATH",
    "NULLCMD",
    "PATH_LOCALE",
    "PS4",
    "READNULLCMD",
    "RES_OPTIONS",
    "SHELLOPTS",
    "SHLIB_PATH",
    "TERMCAP",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERMPATH",
    "TMPPREFIX",
    "USR_ACE",
    "VAR_ACE",
    "ZDOTDIR",
    // Set by us.
    "HOME",
    "LOGNAME",
    "PATH",
    "PWD",
    "TMPDIR",
    "USER",
    // The C library ignores these in set-user-ID programs (`ld.so(8)`).
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "NIS_PATH",
    "RESOLV_ADD_TRIM_DOMAINS",
    "RESOLV_HOST_CONF",
    "RESOLV_MULTI",
    "TZDIR",
    // Programs, plug-ins and start files of what tests run.
    "ARPTABLES_LIB_DIR",
    "BROWSER",
    "CLASSPATH",
    "CURL_HOME",
    "EBTABLES_LIB_DIR",
    "EDITOR",
    "IP6TABLES_LIB_DIR",
    "IPTABLES_LIB_DIR",
    "JDK_JAVA_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "LESSCLOSE",
    "LESSOPEN",
    "MAKEFILES",
    "MAKEFLAGS",
    "MANPAGER",
    "MODPROBE_OPTIONS",
    "PAGER",
    "SHELL",
    "SSH_ASKPASS",
    "SYSTEMD_PAGER",
    "VISUAL",
    "WGETRC",
    "XTABLES_LIBDIR",
    "_JAVA_OPTIONS",
];

const BANNED_PREFIXES: &[&str] = &[
    "BASH_", "DYLD_", "GIT_", "KRB5_", "LDR_", "LD_", "LUA_", "MALLOC_", "NODE_", "OPENSSL_",
    "PERL", "PHP", "PYTHON", "RUBY", "SUDO_", "XDG_", "_RLD",
];

/// Whether a variable is never passed to a test as root: its name is invalid
/// (`NAME=X` would set another variable), or it can load code.
pub fn is_dangerous(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_name = starts_well
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !is_name
        || BANNED.contains(&name)
        || BANNED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Whether a value is not passed on: a bash function, or what sudo rejects in
/// variables that programs use in paths and formats.
pub fn has_dangerous_value(name: &str, value: &str) -> bool {
    let is_path_or_format = |value: &str| value.contains(['%', '/']);
    value.starts_with("()")
        || value.contains('\0')
        || match name {
            "TZ" => !is_time_zone(value),
            // The race detector's log is a file wherever this says.
            "GORACE" => value.contains("log_path"),
            "COLORFGBG" | "COLORTERM" | "LANG" | "LANGUAGE" | "LINGUAS" | "TERM" => {
                is_path_or_format(value)
            }
            name if name.starts_with("LC_") => is_path_or_format(value),
            _ => false,
        }
}

/// As in sudo (`tz_is_sane`): only a file of the system's time zones.
fn is_time_zone(value: &str) -> bool {
    let path = value.strip_prefix(':').unwrap_or(value);
    let is_systems = !path.starts_with('/') || path.starts_with("/usr/share/zoneinfo/");
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    is_systems && is_plain && !path.split('/').any(|part| part == "..") && path.len() < 4096
}

/// The part of our environment that a test as root gets; `also` names more.
pub fn listed_environment(also: &[String]) -> Vec<(String, String)> {
    LISTED
        .iter()
        .copied()
        .chain(also.iter().map(String::as_str))
        .filter(|name| !is_dangerous(name))
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .filter(|(name, value)| !has_dangerous_value(name, value))
        .collect()
}

/// Checks a variable that the user names for a test as root.
///
/// # Errors
/// Exit code 2 when it is not given to one.
pub fn check_variable(name: &str) -> Result<()> {
    let refused = || Failure::usage(format!("`{name}` is not given to a test as root"));
    if is_dangerous(name) {
        return Err(refused().cause(
            "it makes programs load or find other programs, or is set already, \
             or is not the name of a variable",
        ));
    }
    match std::env::var(name) {
        Ok(value) if has_dangerous_value(name, &value) => {
            Err(refused().cause("its value could lead programs to other files"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_shape_of_names() {
        for name in ["FLAKY_DIR", "_x1", "CI", "GOFLAGS", "npm_x"] {
            assert!(!is_dangerous(name), "{name}");
        }
        for name in [
            "",
            "1A",
            "A=B",
            "A-B",
            "A B",
            "A\0",
            "BASH_FUNC_ls%%",
            "BASH_FUNC_ls()",
            "ä",
        ] {
            assert!(is_dangerous(name), "{name}");
        }
    }

    #[test]
    fn what_sudo_removes_is_not_given() {
        let of_sudo = "IFS CDPATH LOCALDOMAIN RES_OPTIONS HOSTALIASES NLSPATH PATH_LOCALE LD_X \
            _RLD_X SHLIB_PATH LDR_X LIBPATH AUTHSTATE DYLD_X KRB5_CONFIG KRB5_KTNAME VAR_ACE \
            USR_ACE DLC_ACE TERMINFO TERMINFO_DIRS TERMPATH TERMCAP ENV BASH_ENV PS4 GLOBIGNORE \
            BASHOPTS SHELLOPTS JAVA_TOOL_OPTIONS PERLIO_DEBUG PERLLIB PERL5LIB PERL5OPT PERL5DB \
            FPATH NULLCMD READNULLCMD ZDOTDIR TMPPREFIX PYTHONHOME PYTHONPATH PYTHONINSPECT \
            PYTHONUSERBASE RUBYLIB RUBYOPT";
        let others = "XTABLES_LIBDIR GIT_SSH_COMMAND NODE_OPTIONS PATH HOME TMPDIR SUDO_UID \
            GLIBC_TUNABLES OPENSSL_CONF XDG_CONFIG_HOME";
        for name in of_sudo.split_whitespace().chain(others.split_whitespace()) {
            assert!(is_dangerous(name), "{name}");
        }
    }

    #[test]
    fn values_are_looked_at_too() {
        for (name, value) in [
            ("CI", "() { :; }; id"),
            ("CI", "a\0b"),
            ("TERM", "../x"),
            ("LANG", "%n"),
            ("LC_ALL", "/tmp/x"),
            ("TZ", "/etc/shadow"),
            ("TZ", ":/home/u/zone"),
            ("TZ", "/usr/share/zoneinfo/../../../etc/shadow"),
            ("TZ", "a b"),
            ("GORACE", "log_path=/etc/x halt_on_error=1"),
        ] {
            assert!(has_dangerous_value(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("CI", "true"),
            ("TERM", "xterm-256color"),
            ("LANG", "de_DE.UTF-8@euro"),
            ("TZ", "Europe/Berlin"),
            ("TZ", ":/usr/share/zoneinfo/UTC"),
            ("TZ", "1717171"),
            ("GORACE", "halt_on_error=1"),
            ("FLAKY_DIR", "/tmp/50%"),
        ] {
            assert!(!has_dangerous_value(name, value), "{name}={value}");
        }
    }
}
