//! Kernel arguments of Talos that are about SELinux.

/// Send every audit record to the console: without auditd, and with no limit of printk.
/// All of them are needed: without auditd alone, printk's limit drops records.
pub const AUDIT_TO_CONSOLE: [&str; 7] = [
    "talos.auditd.disabled=1",
    "audit=1",
    "audit_backlog_limit=65535",
    "debug=1",
    "sysctl.kernel.printk_ratelimit=0",
    "sysctl.kernel.printk_delay=0",
    "sysctl.kernel.printk_ratelimit_burst=10000",
];

/// Deny what the policy does not allow; Talos only logs it by default.
pub const ENFORCING: &str = "enforcing=1";
