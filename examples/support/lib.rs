//! What the examples, tests and benches share.
