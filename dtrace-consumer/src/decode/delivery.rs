//! The settings of a delivery, live or from a recording.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::contents::{Demands, NamedAggregation};
use super::notes::Notes;
use crate::data::aggregation::{Mode, Order};
use crate::data::loss::LossPolicy;
use crate::error::Error;

/// How to deliver a stream.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(crate) losses: LossPolicy,
    pub(crate) mode: Mode,
    /// The order of a walk; `None` for that of the stream.
    pub(crate) order: Option<Order>,
    /// Whether the stream has its entries in that order already.
    pub(crate) is_ordered: bool,
    /// The aggregations to join, a list for each join.
    pub(crate) joins: Vec<Vec<String>>,
    /// Approximate limit for descriptions kept in memory, in bytes.
    pub(crate) memory_limit: usize,
    /// How long the session may take.
    pub(crate) deadline: Option<Duration>,
    /// Shared with the handlers for rows.
    pub(crate) notes: Arc<Notes>,
    /// What a recording must have.
    pub(crate) demands: Demands,
    /// The aggregations that handlers name.
    pub(crate) named: BTreeSet<NamedAggregation>,
}

impl Delivery {
    /// Returns the order that walks are to be sorted into here.
    pub(super) fn sorts_by(&self) -> Option<Order> {
        // libdtrace has sorted totals.
        let by_differences = |order: Order| order.is_by_value() && self.mode == Mode::Delta;
        match self.is_ordered {
            true => Some(self.order.unwrap_or_default())
                .filter(|order| by_differences(*order) || self.order_for_libdtrace() != *order),
            false => self.order,
        }
    }

    /// Returns the order that libdtrace is to sort walks into. Elsewhere than on Linux it aborts over entries of different
    /// aggregations whose functions or keys are not the same.
    pub(crate) fn order_for_libdtrace(&self) -> Order {
        let order = self.order.unwrap_or_default();
        let aborts = cfg!(not(dtrace_abi = "linux")) && order.is_across();
        if aborts { Order::Unsorted } else { order }
    }

    /// Adds an aggregation that a handler names.
    pub(crate) fn name_aggregation(&mut self, name: &str, by: &'static str) {
        self.named.insert(NamedAggregation { aggregation: name.to_owned(), by });
    }

    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.joins.iter().any(Vec::is_empty) {
            let setting = "walk_joined([])".to_owned();
            return Err(Error::Setting { setting, reason: "it names no aggregation" });
        }
        Ok(())
    }
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            losses: LossPolicy::default(),
            mode: Mode::default(),
            order: None,
            is_ordered: true,
            joins: Vec::new(),
            memory_limit: usize::MAX,
            deadline: None,
            notes: Arc::default(),
            demands: Demands::default(),
            named: BTreeSet::new(),
        }
    }
}
