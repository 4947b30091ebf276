//! Aggregations, as the stream describes them.

use crate::data::aggregation::{
    AggregationFunction, AggregationValue, DecodeError, ParameterEncoding,
};
use crate::records::layout::{self, Field};
use crate::stream::packed::Packing;
use crate::stream::payload::AggregationFrame;

/// An aggregation variable, as the stream describes it.
#[derive(Debug)]
pub(crate) struct Aggregation {
    pub(super) key: u32,
    pub(super) variable: u64,
    pub(super) name: String,
    pub(super) function: AggregationFunction,
    signature: u64,
    pub(super) normal: u64,
    pub(super) keys: Vec<Field>,
    pub(super) packing: Packing,
    encoding: ParameterEncoding,
}

impl Aggregation {
    pub(crate) fn new(
        frame: AggregationFrame,
        packing: Packing,
        encoding: ParameterEncoding,
    ) -> Aggregation {
        Aggregation {
            key: frame.key,
            variable: frame.variable,
            name: frame.name,
            function: frame.function,
            signature: frame.signature,
            normal: frame.normal,
            packing,
            keys: layout::of_keys(frame.keys),
            encoding,
        }
    }

    pub(super) fn decode(&self, value: &[u8]) -> Result<AggregationValue, DecodeError> {
        let Aggregation { encoding, function, signature, normal, .. } = *self;
        AggregationValue::decode_in(encoding, function, signature, value, normal)
    }
}
