//! Splits packages over many machines. The same input gives the same split
//! everywhere, so that machines need no communication.

/// The weight of a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Import path.
    pub package: String,
    /// Seconds, or how many tests it has.
    pub weight: f64,
}

/// The packages of each of `shards` machines: the heaviest first, each to the
/// machine that has the least so far. Each package is in exactly one.
pub fn split(weights: &[Weight], shards: usize) -> Vec<Vec<String>> {
    let mut order: Vec<&Weight> = weights.iter().collect();
    order.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then_with(|| a.package.cmp(&b.package))
    });
    order.dedup_by(|a, b| a.package == b.package);
    let mut split = vec![(0.0_f64, Vec::new()); shards.max(1)];
    for one in order {
        let least = split
            .iter_mut()
            .min_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.len().cmp(&b.1.len())));
        if let Some((sum, packages)) = least {
            // A package without measured time still has to start its binary.
            *sum += if one.weight.is_finite() {
                one.weight.max(0.01)
            } else {
                0.01
            };
            packages.push(one.package.clone());
        }
    }
    split
        .into_iter()
        .map(|(_, mut packages)| {
            packages.sort();
            packages
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(given: &[f64]) -> Vec<Weight> {
        let weight = |(index, weight): (usize, &f64)| Weight {
            package: format!("p{index}"),
            weight: *weight,
        };
        given.iter().enumerate().map(weight).collect()
    }

    proptest! {
        #[test]
        fn each_package_is_in_exactly_one(given in proptest::collection::vec(proptest::num::f64::ANY, 0..200), shards in 1..20_usize) {
            let weights = weights(&given);
            let split = split(&weights, shards);
            prop_assert_eq!(split.len(), shards);
            let mut all: Vec<String> = split.into_iter().flatten().collect();
            all.sort();
            let mut wanted: Vec<String> = weights.into_iter().map(|one| one.package).collect();
            wanted.sort();
            prop_assert_eq!(all, wanted);
        }

        /// The order of the packages does not matter.
        #[test]
        fn the_split_is_the_same_everywhere(given in proptest::collection::vec(0.0..100.0, 1..60_usize), shards in 1..9_usize, turn in 0..60_usize) {
            let mut weights = weights(&given);
            let first = split(&weights, shards);
            let by = turn % weights.len();
            weights.rotate_left(by);
            prop_assert_eq!(first, split(&weights, shards));
        }

        /// The weight of a machine exceeds its share by at most one package.
        #[test]
        fn the_load_is_even(given in proptest::collection::vec(0.1..100.0, 1..60_usize), shards in 1..9_usize) {
            let weights = weights(&given);
            let heaviest = given.iter().copied().fold(0.0, f64::max);
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let share = given.iter().sum::<f64>() / shards as f64;
            for packages in split(&weights, shards) {
                let sum: f64 = weights.iter().filter(|one| packages.contains(&one.package)).map(|one| one.weight).sum();
                prop_assert!(sum <= share + heaviest + 0.001, "{} of {}", sum, share);
            }
        }
    }
}
