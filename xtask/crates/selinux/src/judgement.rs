//! What a policy says about the permissions of a group of denials.

use crate::log::Group;
use crate::policy::{Answer, Policy, Verdict};

/// The answer for one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub permission: String,
    pub answer: Answer,
}

impl Judgement {
    pub fn is_allowed(&self) -> bool {
        self.answer.verdict.is_allowed()
    }
}

/// Asks for each permission of the group, and for each command of an `ioctl`.
pub fn judge(policy: &Policy, group: &Group) -> Vec<Judgement> {
    let commands: Vec<u16> = group
        .ioctls
        .iter()
        .filter_map(|text| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok())
        .collect();
    let ask = |permission: &str, command| {
        policy.ask(
            &group.source,
            &group.target,
            &group.class,
            permission,
            command,
        )
    };
    let judge = |permission: &str| {
        let mut answer = ask(permission, None);
        for command in &commands {
            if permission == "ioctl" && matches!(answer.verdict, Verdict::Allowed(_)) {
                answer = ask(permission, Some(*command));
            }
        }
        Judgement {
            permission: permission.to_owned(),
            answer,
        }
    };
    group.permissions().into_iter().map(judge).collect()
}
