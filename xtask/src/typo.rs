//! Finds the known word that is most similar to an unknown one.

/// Returns the nearest of `known`, if it is near enough to be a typing mistake;
/// make's patterns and variables, and its own names such as `?`, are never proposed.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| {
            *distance > 0
                && *distance <= limit
                && !other.contains(['%', '$'])
                && other.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
        .min()
        .map(|(_, other)| other)
}

/// Returns the most similar of `known` and its similarity, 0 to 1: for names of
/// many words, of which one may be missing.
pub(super) fn most_alike<'a>(
    word: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<(f64, &'a str)> {
    known
        .map(|other| (strsim::jaro(other, word), other))
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = ["initramfs", "installer", "imager", "kernel", "image-%"];
        assert_eq!(closest("initramf", known.into_iter()), Some("initramfs"));
        assert_eq!(closest("kerenl", known.into_iter()), Some("kernel"));
        assert_eq!(closest("frobnicate", known.into_iter()), None);
        assert_eq!(closest("V", ["?", "@", "%"].into_iter()), None);
    }
}
