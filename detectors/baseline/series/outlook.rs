//! What a series expects of its next point, and the band within which no test of that point alone alerts.
//!
//! The tests of a point alone are three: the value against all values so far, its jump from the level just before, and, where a
//! season is established, its distance from that. The bar is that of the decision (`Episode::bar`): the surprise from which a point
//! would alert now, which is higher while the series is young and for a while after an alert.
//!
//! Promises: made of the points before alone. A value outside the band alerts. One inside may alert by what several points
//! add up to (means, roughness), which no band of one value can show.
//! Limits: whether a season is believed can turn with the very point, and a tail learned from distances all alike is not quite
//! monotone next to the edge (`rarity`); there the band is the wider one.

use super::super::rarity::Rare;
use super::{FLOOR_SHARE, Series, VALUE_MAX};

/// What is to be expected of one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// What the season, or else the level just before (after a gap, of all that was before), leads to expect.
    pub expected: f64,
    /// The band; none where no value, however far out on that side, would alert.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Series {
    /// What is expected of a point at this time; nothing before the first. Equal bounds: any other value would alert.
    pub fn outlook(&self, time_us: i64) -> Option<Outlook> {
        if self.count == 0.0 {
            return None;
        }
        let level = if self.elapsed(time_us).1 { None } else { Some(self.fast) };
        let season = self.season.outlook(time_us);
        let expected = season.or(level).unwrap_or(self.value.mean());
        let Some(bar) = self.episode.bar(self.count + 1.0, &self.params) else {
            return Some(Outlook { expected, low: None, high: None });
        };
        let rare = Rare::new(10f64.powf(-bar));
        let floor = FLOOR_SHARE * self.value.spread();
        let settled = season.filter(|_| self.season.settled(time_us));
        let (mut low, mut high) = self.value.ordinary(&rare, floor);
        for (channel, around) in [(&self.jump, level), (&self.off_season, settled)] {
            if let Some(around) = around {
                let (below, above) = channel.ordinary(&rare, floor);
                (low, high) = (low.max(around + below), high.min(around + above));
            }
        }
        if low > high {
            // The tests share no value that is ordinary to all of them.
            low = expected.max(high).min(low);
            high = low;
        }
        Some(Outlook {
            expected,
            low: Some(low).filter(|low| *low > -VALUE_MAX),
            high: Some(high).filter(|high| *high < VALUE_MAX),
        })
    }
}
