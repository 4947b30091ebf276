//! How does an item look on one line?

use std::fmt::{self, Write as _};

use crate::data::aggregation::{AggregationValue, Bucket, BucketRange};
use crate::data::value::ValueRef;

/// Formats values, separated by spaces, each with its name if it has one.
pub(super) fn values<'v>(
    f: &mut fmt::Formatter<'_>,
    values: impl Iterator<Item = (Option<&'v str>, ValueRef<'v>)>,
) -> fmt::Result {
    for (name, found) in values {
        f.write_char(' ')?;
        if let Some(name) = name {
            write!(f, "{name}=")?;
        }
        value(f, found)?;
    }
    Ok(())
}

/// Formats an entry of an aggregation as `@name[key, key]: value`.
pub(super) fn entry<'v>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    keys: impl Iterator<Item = ValueRef<'v>>,
    value_of_it: &AggregationValue,
) -> fmt::Result {
    write!(f, "@{name}")?;
    let mut separator = '[';
    for key in keys {
        f.write_char(separator)?;
        if separator == ',' {
            f.write_char(' ')?;
        }
        value(f, key)?;
        separator = ',';
    }
    f.write_str(if separator == ',' { "]: " } else { ": " })?;
    match (value_of_it.distribution(), value_of_it.as_i64()) {
        (Some(distribution), _) => buckets(f, distribution.counted()),
        (None, Some(number)) => write!(f, "{number}"),
        (None, None) => f.write_str("none"),
    }
}

/// Formats a value without line feeds.
fn value(f: &mut fmt::Formatter<'_>, value: ValueRef<'_>) -> fmt::Result {
    match value {
        ValueRef::Stack(stack) => {
            let mut separator = "";
            for frame in stack.frames() {
                write!(f, "{separator}{frame}")?;
                separator = " < ";
            }
            Ok(())
        }
        other => other.to_string().chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => f.write_char(c),
        }),
    }
}

fn buckets(f: &mut fmt::Formatter<'_>, counted: impl Iterator<Item = Bucket>) -> fmt::Result {
    f.write_char('{')?;
    let mut separator = "";
    for Bucket { range: BucketRange { lower, upper }, count } in counted {
        f.write_str(separator)?;
        match (lower, upper) {
            (Some(only), Some(upper)) if only == upper => write!(f, "{only}")?,
            (lower, upper) => {
                lower.map_or(Ok(()), |lower| write!(f, "{lower}"))?;
                f.write_str("..")?;
                upper.map_or(Ok(()), |upper| write!(f, "={upper}"))?;
            }
        }
        write!(f, ": {count}")?;
        separator = ", ";
    }
    f.write_char('}')
}
