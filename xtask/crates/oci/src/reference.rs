//! References of images in registries.

use std::fmt;

use crate::digest::Digest;
use crate::names::{is_repository, is_tag};

/// `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`. Docker's short names are not taken: they
/// would name another registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// # Errors
    /// The reason as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (registry, rest) = name
            .split_once('/')
            .ok_or_else(|| format!("`{text}` names no registry: HOST[:PORT]/REPOSITORY:TAG"))?;
        let is_host = registry.contains(['.', ':']) || registry == "localhost";
        if !is_host || registry.chars().any(|c| !is_host_character(c)) {
            return Err(format!(
                "`{registry}` is not a registry: HOST[:PORT]/REPOSITORY:TAG"
            ));
        }
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (rest, None),
        };
        if !is_repository(repository) {
            return Err(format!("`{repository}` is not the name of a repository"));
        }
        if let Some(tag) = &tag
            && !is_tag(tag)
        {
            return Err(format!("`{tag}` is not a tag"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag,
            digest,
        })
    }

    /// The last part of the repository's name: the target that made the image.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The part of a request that names the manifest.
    pub(crate) fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']')
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_registry() {
        let digest = Digest::of(b"");
        for text in [
            "127.0.0.1:5005/u/x:v1",
            "localhost/x",
            "ghcr.io/siderolabs/extensions:v1.12.0",
            &format!("127.0.0.1:5005/u/x:v1@{digest}"),
            "[::1]:5005/u/x",
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "x",
            "u/x",
            "ghcr.io/",
            "ghcr.io/U/x",
            "ghcr.io/../x",
            "ghcr.io/x:",
            "ghcr.io/x:a/b",
            "ghcr.io/x@sha256:1",
            "a b.c/x",
        ] {
            Reference::parse(bad).unwrap_err();
        }
        let name = Reference::parse("127.0.0.1:5005/u/hailort:4.21.0").unwrap();
        assert_eq!(name.name(), "hailort");
    }
}
