#![no_main]
//! No bytes may make the reader of policies panic, and a policy that it accepts answers.

use libfuzzer_sys::fuzz_target;
use selinux::policy::Policy;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::read(bytes) else {
        return;
    };
    let types: Vec<&str> = policy.types().take(4).collect();
    let classes: Vec<(&str, Vec<&str>)> = policy
        .classes()
        .take(4)
        .map(|(class, permissions)| (class, permissions.take(4).collect()))
        .collect();
    for kind in types {
        let context = format!("system_u:system_r:{kind}:s0-s1:c0.c2");
        for (class, permissions) in &classes {
            for permission in permissions {
                policy.ask(&context, &context, class, permission, Some(0x5401));
            }
        }
    }
});
