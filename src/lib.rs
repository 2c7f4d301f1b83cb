//! x
pub mod respond;
pub mod store;
