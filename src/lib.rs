//! x
pub mod lake;
pub mod query;
