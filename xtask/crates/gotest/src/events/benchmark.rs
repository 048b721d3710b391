//! Results of benchmarks, in the format that benchstat reads
//! (golang.org/design/14313-benchmark-format).

/// One line of results.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// With the number of processors: `BenchmarkA/sub-8`.
    pub name: String,
    pub iterations: u64,
    /// Values and units: `(106.9, "ns/op")`.
    pub metrics: Vec<(f64, String)>,
    /// The line as it was printed, without its newline.
    pub line: String,
}

impl Benchmark {
    /// Reads a line; `None` if it is none of results.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let iterations = words.next()?.parse().ok()?;
        let mut metrics = Vec::new();
        while let Some(value) = words.next() {
            metrics.push((value.parse().ok()?, words.next()?.to_owned()));
        }
        (!metrics.is_empty()).then(|| Self {
            name,
            iterations,
            metrics,
            line: line.trim_end().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let line = "BenchmarkY-2             \t      10\t       267.2 ns/op\t         3.000 x/op\n";
        let read = Benchmark::parse(line).unwrap();
        assert_eq!((read.name.as_str(), read.iterations), ("BenchmarkY-2", 10));
        let metrics = [(267.2, "ns/op".to_owned()), (3.0, "x/op".to_owned())];
        assert_eq!(read.metrics, metrics);
        for other in [
            "BenchmarkY",
            "BenchmarkY fails",
            "BenchmarkY-2 10",
            "BenchmarkY 1 x",
        ] {
            assert_eq!(Benchmark::parse(other), None, "{other}");
        }
    }
}
