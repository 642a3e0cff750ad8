// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time-of-day clock. Principles of Operation, "Timing": bit 51 steps every microsecond.

/// A value of the TOD clock, in units of 2^-12 microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tod(pub u64);

impl Tod {
    /// Units per microsecond.
    pub const PER_MICROSECOND: u64 = 1 << 12;

    /// Whole microseconds since the clock was zero.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0 / Self::PER_MICROSECOND
    }

    /// Whole microseconds from `earlier` to this value; 0 if `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / Self::PER_MICROSECOND
    }

    /// This long after the value; the end of time if that is farther than the clock can count.
    #[must_use]
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros.saturating_mul(Self::PER_MICROSECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_microsecond_is_4096_units_and_time_never_overflows() {
        assert_eq!(Tod(4096 * 5 + 17).micros(), 5);
        assert_eq!(Tod(10).plus_micros(3).micros_since(Tod(10)), 3);
        assert_eq!(Tod(10).micros_since(Tod(20)), 0);
        assert_eq!(Tod(10).plus_micros(u64::MAX), Tod(u64::MAX));
    }
}
