//! Which addresses in the text of printed aggregations are those of functions?
//!
//! libdtrace writes an address without a name as it writes many other things: `0x401000`. Such a word is replaced only
//! if it is the address of a key that is printed as a function, and nothing else that is printed may look like it.

use std::collections::HashSet;

use crate::data::record::Action;
use crate::data::symbol::Symbols;
use crate::data::value::ValueRef;
use crate::records::format::{Conversion, conversions};
use crate::records::layout::Field;

/// What the text of printed aggregations contains.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// The aggregations by their variables; all if `None`.
    variables: Option<Vec<u64>>,
    /// The conversion of each key, if there is a format.
    keys: Option<Vec<Conversion>>,
    functions: HashSet<u64>,
    others: HashSet<u64>,
}

impl Printed {
    /// Describes a `printa()` of these variables.
    pub(super) fn by_printa(variables: Vec<u64>, format: Option<&str>) -> Printed {
        let keys = format
            .map(|format| conversions(format).into_iter().filter(Conversion::takes_key).collect());
        let mut printed = Printed { variables: Some(variables), keys, ..Printed::default() };
        let words = format.unwrap_or_default().split_ascii_whitespace();
        printed.others.extend(words.filter_map(|word| hexadecimal(word.strip_prefix("0x")?)));
        printed
    }

    /// Returns whether the text shows entries of this variable.
    pub(super) fn shows(&self, variable: u64) -> bool {
        self.variables.as_ref().is_none_or(|variables| variables.contains(&variable))
    }

    /// Adds an entry: its key, and its value with the aggregation's normal.
    pub(super) fn add(&mut self, fields: &[Field], key: &[u8], (value, normal): (&[u8], u64)) {
        for (n, field) in fields.iter().enumerate() {
            let conversion = match &self.keys {
                None => None,
                Some(conversions) => match conversions.get(n) {
                    Some(conversion) => Some(conversion),
                    None => continue,
                },
            };
            if let Some(addresses) = field.addresses(key) {
                let is_module = matches!(field.description.action, Action::Mod | Action::UMod);
                let names = is_module || conversion.is_none_or(Conversion::names_addresses);
                let place = if names { &mut self.functions } else { &mut self.others };
                place.extend(addresses.iter());
                continue;
            }
            match field.value(key, &Symbols::new()) {
                // Without a format, they are decimal.
                ValueRef::Integer(number) if conversion.is_some() => {
                    let bits = 8 * field.description.size.min(8);
                    self.others.extend([number.as_u64(), number.as_u64() & low(bits)]);
                }
                ValueRef::String(text) => {
                    let words = text.split(u8::is_ascii_whitespace);
                    let words = words.filter_map(|word| std::str::from_utf8(word).ok());
                    let numbers = words.map(|word| word.strip_prefix("0x").unwrap_or(word));
                    self.others.extend(numbers.filter_map(hexadecimal));
                }
                _ => {}
            }
        }
        if self.keys.is_some() {
            self.add_value(value, normal);
        }
    }

    /// Adds the numbers that `%@x` prints of a value: the number itself, or an average.
    fn add_value(&mut self, value: &[u8], normal: u64) {
        let normal = normal.max(1);
        let words = value.chunks_exact(8).filter_map(|word| word.first_chunk());
        let mut words = words.map(|word| u64::from_ne_bytes(*word));
        let Some(first) = words.next() else { return };
        self.others.insert(first / normal);
        if let (Some(sum), true) = (words.next(), first > 0) {
            self.others.insert(sum / normal / first);
        }
    }

    /// Returns whether this address stands only for functions in the text.
    pub(super) fn is_function(&self, address: u64) -> bool {
        self.functions.contains(&address) && !self.others.contains(&address)
    }
}

fn low(bits: u32) -> u64 {
    u64::MAX.checked_shr(64 - bits).unwrap_or(0)
}

fn hexadecimal(digits: &str) -> Option<u64> {
    // `from_str_radix` accepts a sign.
    digits.bytes().all(|it| it.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::RecordDescription;
    use crate::records::layout::of_keys;

    fn record(action: Action, offset: u32, size: u32, alignment: u16) -> RecordDescription {
        RecordDescription { action, offset, size, alignment, argument: 0, format: None }
    }

    /// Has a function's address, a number and a string for keys. Returns whether 0x401000 is a function in the text.
    fn is_function(format: Option<&str>, number: u64, text: &str, value: u64) -> bool {
        let fields = of_keys(vec![
            record(Action::UAddr, 0, 16, 8),
            record(Action::Trace, 16, 8, 8),
            record(Action::Trace, 24, 16, 1),
        ]);
        let words = [7, 0x401000, number].map(u64::to_ne_bytes).concat();
        let mut string = text.as_bytes().to_vec();
        string.resize(16, 0);
        let mut printed = Printed::by_printa(vec![3], format);
        assert!(printed.shows(3) && !printed.shows(4));
        printed.add(&fields, &[words, string].concat(), (&value.to_ne_bytes(), 1));
        printed.is_function(0x401000)
    }

    #[test]
    fn an_address_is_a_function_where_it_is_printed_as_one() {
        assert!(is_function(None, 1, "a", 1));
        for format in ["%A %d %s %@d", "%k", "%a", "%A 0x%x 0x%@x", "%@d%%%A"] {
            assert!(is_function(Some(format), 1, "a", 1), "{format}");
        }
        for format in ["%p %d %s", "0x%x", "", "%@d", "0x401000 %A"] {
            assert!(!is_function(Some(format), 1, "a", 1), "{format}");
        }
    }

    #[test]
    fn an_address_that_is_also_printed_as_something_else_is_no_function() {
        assert!(!is_function(Some("%A 0x%x"), 0x401000, "a", 1));
        assert!(!is_function(Some("%A %d %s"), 1, "at 0x401000", 1));
        assert!(!is_function(Some("%A %d 0x%s"), 1, "401000", 1));
        assert!(!is_function(Some("%A 0x%@x"), 1, "a", 0x401000));
        assert!(!is_function(None, 1, "0x401000", 1));
        // Printed in decimal, or not at all.
        assert!(is_function(None, 0x401000, "a", 0x401000));
        assert!(is_function(Some("%A %d"), 1, "0x401000", 1));
    }
}
