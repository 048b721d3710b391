//! Reads `debug=1`: one line per stack with its numbers and addresses, followed
//! by comments with the names of the addresses.

use pprof_engine::{Error, Limits, Result};
use regex::Regex;
use rustc_hash::FxHashSet;

use super::build::Builder;
use super::{Text, wrong};

/// Allocators are not the cause of an allocation; this is pprof's list, as far
/// as Go has them.
const ALLOCATORS: &str = r"(c|m|re)alloc|free|runtime\..*";
const KEPT: &str = r"runtime\.(panic|reflectcall|call[0-9]*)";

/// The form of the text.
pub(super) enum Form {
    Heap {
        period: i64,
        /// Whether values are scaled up from the sampled ones.
        scaled: bool,
        allocs: bool,
    },
    /// Counts of this type.
    Count(String),
    Contention,
}

/// The form of a line of numbers.
struct Pattern(Regex);

impl Pattern {
    fn new(pattern: &str) -> Result<Self> {
        let regex = Regex::new(pattern);
        regex
            .map(Self)
            .map_err(|error| Error::Query(error.to_string()))
    }

    /// Returns the numbers, and the addresses at the end.
    fn read(&self, line: &str) -> Option<(Vec<i64>, Vec<u64>)> {
        let found = self.0.captures(line)?;
        let groups: Vec<&str> = found
            .iter()
            .skip(1)
            .map(|group| group.map_or("", |group| group.as_str()))
            .collect();
        let (addresses, numbers) = groups.split_last()?;
        let numbers: Option<Vec<i64>> = numbers.iter().map(|of| of.parse().ok()).collect();
        let addresses = addresses.split(' ').filter(|word| word.starts_with("0x"));
        let addresses: Option<Vec<u64>> = addresses
            .map(|word| u64::from_str_radix(&word[2..], 16).ok())
            .collect();
        Some((numbers?, addresses?))
    }
}

impl Form {
    /// By its first line; none if it is another text.
    pub(super) fn detect(line: &str) -> Option<Result<Self>> {
        if line.starts_with("heap profile:") {
            return Some(Self::heap(line));
        }
        if ["--- mutex:", "--- contention:"]
            .iter()
            .any(|head| line.starts_with(head))
        {
            return Some(Ok(Self::Contention));
        }
        let (kind, total) = line.split_once(" profile: total ")?;
        let counts = !kind.contains(' ') && total.bytes().all(|byte| byte.is_ascii_digit());
        counts.then(|| Ok(Self::Count(kind.to_owned())))
    }

    fn heap(line: &str) -> Result<Self> {
        let head =
            r"heap profile: *(\d+): *(\d+) *\[ *(\d+): *(\d+) *\] *@ *(heap[_a-z0-9]*)/?(\d*)";
        let pattern = Pattern::new(head)?;
        let Some(found) = pattern.0.captures(line) else {
            return Err(wrong(1, "invalid head of a heap profile"));
        };
        let period: i64 = found[6].parse().unwrap_or(0);
        let differs = |now: usize, ever: usize| found[ever] != found[now] && &found[ever] != "0";
        let (period, scaled) = match &found[5] {
            // Go prints twice its rate, for compatibility with older tools.
            "heap" => (period / 2, true),
            "heap_v2" | "heapz_v2" => (period, true),
            "heapprofile" => (1, false),
            other => {
                return Err(wrong(
                    1,
                    &format!("unknown kind of heap profile: `{other}`"),
                ));
            }
        };
        Ok(Self::Heap {
            period,
            scaled,
            allocs: differs(1, 3) || differs(2, 4),
        })
    }

    fn pattern(&self) -> Result<Pattern> {
        Pattern::new(match self {
            Self::Heap { .. } => r"(-?\d+): *(-?\d+) *\[ *(\d+): *(\d+) *\] @([ x0-9a-f]*)",
            Self::Count(_) => r"^(\d+) @((?: 0x[0-9a-f]+)+)$",
            Self::Contention => r"(\d+) *(\d+) @([ x0-9a-f]*)",
        })
    }

    fn declare(&self, to: &mut Builder) {
        match self {
            Self::Heap { period, allocs, .. } => {
                to.period(("space", "bytes"), *period);
                if *allocs {
                    to.kinds(&[("alloc_objects", "count"), ("alloc_space", "bytes")]);
                    to.kinds(&[("inuse_objects", "count"), ("inuse_space", "bytes")]);
                } else {
                    to.kinds(&[("objects", "count"), ("space", "bytes")]);
                }
                to.frames(ALLOCATORS, KEPT);
            }
            Self::Count(kind) => {
                to.period((kind, "count"), 1);
                to.kinds(&[(kind, "count")]);
            }
            Self::Contention => {
                to.kinds(&[("contentions", "count"), ("delay", "nanoseconds")]);
            }
        }
    }

    pub(super) fn read(self, text: Text<'_>, limits: Limits) -> Result<Builder> {
        let mut builder = Builder::new(limits);
        self.declare(&mut builder);
        let pattern = self.pattern()?;
        let mut rates = Rates::default();
        let mut named = FxHashSet::default();
        let mut begun = false;
        for (number, line) in text
            .lines()
            .skip_while(|(_, line)| !Self::is_head(line))
            .skip(1)
        {
            let line = line.trim_start();
            if let Some(comment) = line.strip_prefix('#') {
                describe(&mut builder, comment, &named);
                continue;
            }
            // The rest is memory maps, which Go does not write.
            if line.starts_with("---") || line.contains("MAPPED_LIBRARIES:") {
                break;
            }
            if line.is_empty() {
                continue;
            }
            if !begun && matches!(self, Self::Contention) && rates.read(line) {
                continue;
            }
            begun = true;
            let Some((numbers, addresses)) = pattern.read(line) else {
                return Err(wrong(
                    number,
                    &format!("`{}` is not a sample", excerpt(line)),
                ));
            };
            // Return addresses: the call is at one less.
            let stack: Vec<u64> = addresses
                .iter()
                .map(|address| builder.address(address.wrapping_sub(1)))
                .collect();
            named.clear();
            named.extend(&stack);
            self.sample(&mut builder, &numbers, stack, &rates, number)?;
        }
        if matches!(self, Self::Contention) {
            builder.period(("contentions", "count"), rates.period);
            builder.duration(rates.duration);
        }
        name_hidden(&mut builder);
        Ok(builder)
    }

    fn is_head(line: &str) -> bool {
        matches!(Self::detect(line), Some(Ok(_)))
    }

    fn sample(
        &self,
        to: &mut Builder,
        numbers: &[i64],
        stack: Vec<u64>,
        rates: &Rates,
        line: usize,
    ) -> Result<()> {
        match (self, numbers) {
            (
                Self::Heap {
                    period,
                    scaled,
                    allocs,
                },
                &[objects, bytes, all_objects, all_bytes],
            ) => {
                let rate = if *scaled { *period } else { 1 };
                let mut values = Vec::with_capacity(4);
                let mut size = 0;
                let pairs = [(all_objects, all_bytes), (objects, bytes)];
                for (count, bytes) in &pairs[usize::from(!allocs)..] {
                    if *count == 0 && *bytes != 0 {
                        return Err(wrong(line, &format!("{bytes} bytes in 0 objects")));
                    }
                    if *count != 0 {
                        size = bytes.wrapping_div(*count);
                    }
                    values.extend(scale(*count, *bytes, rate));
                }
                let label = to.number("bytes", size, "");
                to.sample(stack, values, vec![label])
            }
            (Self::Count(_), &[count]) => to.sample(stack, vec![count], Vec::new()),
            (Self::Contention, &[cycles, count]) => {
                to.sample(stack, rates.apply(cycles, count), Vec::new())
            }
            _ => Err(wrong(line, "unexpected number of values")),
        }
    }
}

fn excerpt(line: &str) -> String {
    line.chars().take(60).collect()
}

/// A sample's chance of being taken is 1-exp(-size/rate): returns the estimated totals.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
fn scale(count: i64, bytes: i64, rate: i64) -> [i64; 2] {
    if count == 0 || bytes == 0 {
        return [0, 0];
    }
    if rate <= 1 {
        return [count, bytes];
    }
    let average = bytes as f64 / count as f64;
    let factor = 1.0 / (1.0 - (-average / rate as f64).exp());
    [
        (count as f64 * factor) as i64,
        (bytes as f64 * factor) as i64,
    ]
}

/// The rates in the head of a contention profile.
struct Rates {
    hertz: i64,
    period: i64,
    duration: i64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            hertz: 0,
            period: 1,
            duration: 0,
        }
    }
}

impl Rates {
    /// Returns whether the line was a rate.
    fn read(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.split_once('=') else {
            return false;
        };
        let value = value.trim().parse::<i64>().unwrap_or(0);
        match key.trim() {
            "cycles/second" => self.hertz = value,
            "sampling period" => self.period = value,
            "ms since reset" => self.duration = value.saturating_mul(1_000_000),
            _ => {}
        }
        true
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // so does pprof
    fn apply(&self, cycles: i64, count: i64) -> Vec<i64> {
        if self.period <= 0 {
            return vec![count, cycles];
        }
        let delay = if self.hertz > 0 {
            (cycles as f64 * self.period as f64 / (self.hertz as f64 / 1e9)) as i64
        } else {
            cycles
        };
        vec![count.wrapping_mul(self.period), delay]
    }
}

/// Names of frames that Go hides: those of the runtime at the leaf, and the end of a
/// goroutine at the root.
const HIDDEN: &str = "runtime.(hidden)";
const GOEXIT: &str = "runtime.goexit";

/// Reads a comment beneath a sample: `\t0x4f\tname+0x1f\tfile:line`, or labels.
/// `stack` has the addresses that it may describe.
fn describe(to: &mut Builder, comment: &str, stack: &FxHashSet<u64>) {
    if let Some(labels) = comment.strip_prefix(" labels: ") {
        let labels = super::goroutines::labels(to, labels);
        to.label_last(labels);
        return;
    }
    let mut parts = comment.split('\t').filter(|part| !part.is_empty());
    let address = parts.next().and_then(|address| address.strip_prefix("0x"));
    let Some(address) = address.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
        return;
    };
    let Some(location) = to.known(address).filter(|known| stack.contains(known)) else {
        return;
    };
    let (Some(name), Some(place)) = (parts.next(), parts.next()) else {
        // Go does not know the name itself.
        to.nameless.insert(location);
        return;
    };
    let name = name.rsplit_once("+0x").map_or(name, |(name, _)| name);
    let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
    to.name(location, name, file, line.parse().unwrap_or(0));
}

/// Names the locations without a comment in stacks in which others have one: they
/// are the runtime's.
fn name_hidden(to: &mut Builder) {
    for stack in to.stacks() {
        if !stack.iter().any(|location| to.is_named(*location)) {
            continue;
        }
        for (place, location) in stack.iter().enumerate() {
            let is_root = place + 1 == stack.len();
            if !to.is_named(*location) && !to.nameless.contains(location) {
                to.name(*location, if is_root { GOEXIT } else { HIDDEN }, "", 0);
            }
        }
    }
}
