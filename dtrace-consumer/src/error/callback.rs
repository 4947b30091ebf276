//! The results of handlers.

use std::error::Error as StdError;

/// The error of a closure: anything that `?` can convert.
pub type CallbackError = Box<dyn StdError + Send + Sync>;

/// The result of a closure.
pub type CallbackResult = Result<(), CallbackError>;

/// Returns the text of an error, followed by those of its sources that it does not repeat.
pub(crate) fn with_sources(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let source_text = source.to_string();
        if !text.contains(&source_text) {
            text.push_str(": ");
            text.push_str(&source_text);
        }
        next = source.source();
    }
    text
}
