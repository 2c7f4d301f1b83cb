//! x
pub mod cli {
    pub mod baseline;
}
