//! What is the value of an aggregation, and how do walks deliver it?

mod combine;
mod decode_error;
mod distribution;
mod function;
mod mode;
mod numbers;
mod order;
mod parameters;
mod rank;
mod value;

pub use combine::CombineError;
pub(crate) use decode_error::DecodeError;
pub use distribution::{Bucket, Distribution};
pub use function::AggregationFunction;
pub use mode::Mode;
pub use numbers::{Average, Deviation, Extreme, Scalar};
pub use order::Order;
pub use parameters::{BucketRange, DistributionParameters, Linear, LogLinear, ParameterEncoding};
pub use value::AggregationValue;
