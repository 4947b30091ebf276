//! How do errors look to a program that formats them with `{:?}`, as `main`, `unwrap` and `expect` do?

/// Implements `Debug` for an error: `{:?}` formats its text, `{:#?}` its structure.
///
/// A macro of the type's fields, because a derived `Debug` leaves no place for the other format.
macro_rules! debug_as_text {
    (struct $Type:ident $($fields:tt)+) => {
        $crate::data::debug::debug_as_text! {
            @implement $Type, $Type $($fields)+ => ($Type $($fields)+),
        }
    };
    (enum $Type:ident {
        $($Variant:ident $(($($value:ident),*))? $({ $($field:ident),* })?),* $(,)?
    }) => {
        $crate::data::debug::debug_as_text! {
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
                    $($pattern => $crate::data::debug::debug_as_text!(@structure f, $($structure)+),)*
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

#[cfg(test)]
mod tests {
    use crate::data::from_value::TypeError;

    #[test]
    fn the_debug_form_of_an_error_is_its_text_and_the_alternate_form_its_structure() {
        let error = TypeError::new("a number", "string \"x\"");
        assert_eq!(format!("{error:?}"), error.to_string());
        let structure = format!("{error:#?}");
        assert!(structure.starts_with("TypeError {\n    expected: \"a number\",\n"), "{structure}");
        assert_eq!(format!("{:?}", [error]), "[expected a number, found string \"x\"]");
    }
}
