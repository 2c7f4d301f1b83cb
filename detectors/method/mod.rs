//! The methods: how a detector sums up the events of an entity and when it decides. One file each, and one line here.
//!
//! Never: known by name anywhere else.

mod baseline;
mod counting;
mod distinct;
mod enumeration;
mod new_value;
mod percentile;
mod ratio;
mod sequence;
mod sum;
pub(crate) mod threshold;
mod travel;

use std::sync::Arc;

use crate::kit::Settings;
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

/// Reads the settings of a method for a detector of entities of a kind.
pub(crate) type Read = fn(&mut Fields<'_>, &EntityKind) -> Result<Arc<dyn Settings>, RuleError>;

/// Every method: its name, its keys, and what reads them.
pub(crate) const METHODS: &[(&str, &[&str], Read)] = &[
    ("threshold", threshold::KEYS, threshold::read),
    ("distinct", distinct::KEYS, distinct::read),
    ("sum", sum::KEYS, sum::read),
    ("ratio", ratio::KEYS, ratio::read),
    ("baseline", baseline::KEYS, baseline::read),
    ("new_value", new_value::KEYS, new_value::read),
    ("sequence", sequence::KEYS, sequence::read),
    ("travel", travel::KEYS, travel::read),
    ("enumeration", enumeration::KEYS, enumeration::read),
    ("percentile", percentile::KEYS, percentile::read),
];
