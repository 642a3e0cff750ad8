// SPDX-License-Identifier: MIT OR Apache-2.0
//! One macro for integers that come from outside: a newtype with named constants whose `Debug` and `Display` print the
//! name where there is one and the number where there is none.

/// Declares an open enumeration: `open_value! { /// docs pub struct Name(u8) { /// docs CONST = 1, "what people read";
/// } }`.
macro_rules! open_value {
    ($(#[$meta:meta])* pub struct $name:ident($int:ty) {
        $($(#[$cmeta:meta])* $konst:ident = $value:expr, $text:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$cmeta])* pub const $konst: Self = Self($value);)*

            /// Every value that has a name, in the order of its declaration.
            pub const NAMED: &'static [Self] = &[$(Self::$konst),*];

            /// What people call this value, if it has a name.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(v if v == $value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let width = 2 * core::mem::size_of::<$int>();
                match self.name() {
                    Some(name) => write!(f, "{:0width$x} ({name})", self.0),
                    None => write!(f, "{:0width$x} (unknown)", self.0),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use open_value;
