// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known faults of the posted driver and of the code after it, as switches.
//!
//! Each is off by default and is read at one place, where the code does what the driver does instead of what is right.
//! What each is, how severe, and how it shows stands in the catalogue of `vfio-mig`. Findings that only a race or
//! lifetime checker can see have no switch: safe Rust makes them impossible here.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! defects {
    ($($variant:ident = $name:literal, $what:literal;)*) => {
        /// A fault that can be switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $(#[doc = $what] $variant,)*
        }

        impl Defect {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in the catalogue.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What the driver does.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => $what,)*
                }
            }
        }
    };
}

defects! {
    ControlDomainsDropped = "control-domains-dropped",
        "Control domains are neither saved nor restored.";
    BindStateCheckBypassed = "bind-state-check-bypassed",
        "Equal hardware words are accepted whatever their bind state.";
    FacilityWordEqualityDefeatsClassRule = "facility-word-equality-defeats-class-rule",
        "The whole facility word must be equal, its classification included.";
}

impl Defect {
    /// The defect of this name.
    ///
    /// # Errors
    /// [`UnknownDefect`], which lists the names there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownDefect> {
        Self::ALL.iter().copied().find(|defect| defect.name() == name).ok_or_else(|| UnknownDefect(name.to_owned()))
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No defect has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDefect(String);

impl fmt::Display for UnknownDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Defect::ALL.iter().map(|defect| defect.name()).collect();
        write!(f, "no defect is called `{}`, there are: {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownDefect {}

/// Which defects are on.
#[derive(Debug, Default)]
pub struct Defects(AtomicU64);

impl Defects {
    /// Whether this one is on.
    #[must_use]
    pub fn on(&self, defect: Defect) -> bool {
        self.0.load(Ordering::Relaxed) & 1 << defect as u32 != 0
    }

    /// Switches one on or off.
    pub fn set(&self, defect: Defect, on: bool) {
        let bit = 1 << defect as u32;
        if on {
            self.0.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Those that are on.
    pub fn iter(&self) -> impl Iterator<Item = Defect> {
        Defect::ALL.iter().copied().filter(|defect| self.on(*defect))
    }
}

const _: () = assert!(Defect::ALL.len() <= u64::BITS as usize, "the set has 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_switched_by_its_name() {
        let defects = Defects::default();
        for defect in Defect::ALL {
            assert_eq!(Defect::from_name(defect.name()), Ok(*defect));
            assert!(!defects.on(*defect));
            defects.set(*defect, true);
            assert_eq!(defects.iter().collect::<Vec<_>>(), [*defect]);
            defects.set(*defect, false);
        }
        let error = Defect::from_name("control-domain-dropped").unwrap_err().to_string();
        assert!(error.contains("there are: control-domains-dropped, "), "{error}");
    }
}
