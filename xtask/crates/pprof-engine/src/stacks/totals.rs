//! What percentages are of.

/// Sums for the total: everything, and what a difference's base has.
#[derive(Default)]
pub(super) struct Totals {
    all: [i64; 2],
    base: [i64; 2],
    /// There were values below zero.
    negative: bool,
}

impl Totals {
    pub(super) fn add(&mut self, weight: i64, divisor: i64, is_base: bool) {
        let size = weight.wrapping_abs();
        self.negative |= weight < 0;
        self.all[0] = self.all[0].wrapping_add(size);
        self.all[1] = self.all[1].wrapping_add(divisor);
        if is_base {
            self.base[0] = self.base[0].wrapping_add(size);
            self.base[1] = self.base[1].wrapping_add(divisor);
        }
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.negative |= other.negative;
        for (sum, of) in [(&mut self.all, other.all), (&mut self.base, other.base)] {
            *sum = [sum[0].wrapping_add(of[0]), sum[1].wrapping_add(of[1])];
        }
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn total(&self) -> i64 {
        let [total, divisor] = if self.base[0] > 0 {
            self.base
        } else {
            self.all
        };
        if divisor == 0 {
            return total;
        }
        total.wrapping_div(divisor)
    }
}
