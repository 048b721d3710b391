//! Exit statuses as a shell has them in `$?`: the child's own code, or 128 + N
//! for signal N.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use gotest::events::Exit;

/// `status` as one byte.
pub(super) fn of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// What `status` says about the end of a test binary.
pub(super) fn to_exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

/// What `code` says about the end of a test binary.
pub fn to_test_exit(code: u8) -> Exit {
    match code {
        129.. => Exit::Signal(i32::from(code - 128)),
        code => Exit::Code(i32::from(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_code_above_128() {
        assert_eq!(of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(of(ExitStatus::from_raw(9)), 137);
        assert_eq!(to_test_exit(137), Exit::Signal(9));
        assert_eq!(to_test_exit(2), Exit::Code(2));
    }
}
