//! Security contexts: `user:role:type:level`, where the level is a range of
//! sensitivities with categories.

/// The parts of a context, as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    pub user: &'a str,
    pub role: &'a str,
    pub kind: &'a str,
    /// Empty without MLS.
    pub range: &'a str,
}

impl<'a> Context<'a> {
    /// Splits a context; `None` if it has fewer than three parts or an empty one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let context = Self {
            user: parts.next()?,
            role: parts.next()?,
            kind: parts.next()?,
            range: parts.next().unwrap_or_default(),
        };
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_name_byte);
        [context.user, context.role, context.kind]
            .into_iter()
            .all(is_name)
            .then_some(context)
    }

    /// The context without its range.
    pub fn without_range(&self) -> String {
        format!("{}:{}:{}", self.user, self.role, self.kind)
    }
}

/// Whether a name may stand in CIL as it is.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_context() {
        let context = Context::parse("system_u:system_r:pod_t:s0:c1,c5").unwrap();
        assert_eq!((context.kind, context.range), ("pod_t", "s0:c1,c5"));
        assert_eq!(context.without_range(), "system_u:system_r:pod_t");
        for bad in ["", "a:b", "a:b:", "a:b:c d:s0", "a:b:x)(y", ":::"] {
            assert_eq!(Context::parse(bad), None, "{bad}");
        }
    }
}
