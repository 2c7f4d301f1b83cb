//! Chance for the tests of this folder: seeds far from each other, so that series of neighbouring seeds have nothing in common.

use crate::testkit::Chance;

pub(super) fn seeded(seed: u64) -> Chance {
    Chance::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
}
