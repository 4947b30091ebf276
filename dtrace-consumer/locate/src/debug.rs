//! How do errors look to a program that formats them with `{:?}`, as `main`, `unwrap` and `expect` do?
//!
//! `dtrace-consumer` has the same macro for its own errors. Neither crate always depends on the other.

/// Implements `Debug` for an error: `{:?}` formats its text, `{:#?}` its structure.
///
/// A macro of the type's fields, because a derived `Debug` leaves no place for the other format.
macro_rules! debug_as_text {
    (struct $Type:ident $($fields:tt)+) => {
        $crate::debug::debug_as_text! {
            @implement $Type, $Type $($fields)+ => ($Type $($fields)+),
        }
    };
    (enum $Type:ident {
        $($Variant:ident $(($($value:ident),*))? $({ $($field:ident),* })?),* $(,)?
    }) => {
        $crate::debug::debug_as_text! {
            @implement $Type,
            $($Type::$Variant $(($($value),*))? $({ $($field),* })?
                => ($Variant $(($($value),*))? $({ $($field),* })?),)*
        }
    };
    (@implement $Type:ident, $($pattern:pat => ($($structure:tt)+),)*) => {
        impl std::fmt::Debug for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                if !f.alternate() {
                    return std::fmt::Display::fmt(self, f);
                }
                match self {
                    $($pattern => $crate::debug::debug_as_text!(@structure f, $($structure)+),)*
                }
            }
        }
    };
    (@structure $f:ident, $name:ident) => {
        $f.write_str(stringify!($name))
    };
    (@structure $f:ident, $name:ident ($($value:ident),*)) => {
        $f.debug_tuple(stringify!($name))$(.field($value))*.finish()
    };
    (@structure $f:ident, $name:ident {$($field:ident),* $(,)?}) => {
        $f.debug_struct(stringify!($name))$(.field(stringify!($field), $field))*.finish()
    };
}

pub(crate) use debug_as_text;
