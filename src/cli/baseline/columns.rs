//! A series of any length as at most `COLUMNS_MAX` columns of equal width in time, folded as it is read.
//!
//! Promises: memory does not grow with the series; the least and the greatest value of a column, and that it holds an alert, are
//! never lost. Lines may come in any order of time.
//! Never: keeps a line.

use std::collections::BTreeMap;

use detectors::baseline::series::Outlook;

pub const COLUMNS_MAX: usize = 2_000;

/// What the lines of one column come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The earliest time of its lines.
    pub at_us: i64,
    /// The least and the greatest value; none where every value is empty.
    pub values: Option<(f64, f64)>,
    /// Mean of what was expected, and of how many lines.
    pub expected: f64,
    pub expected_of: f64,
    /// The widest band of its lines; infinite where no value alerts on a side. None where no line has a bound.
    pub band: Option<(f64, f64)>,
    /// The value of its first alert.
    pub alert: Option<f64>,
}

impl Column {
    fn of(time_us: i64, value: f64, outlook: Option<Outlook>, alert: bool) -> Column {
        let band = outlook.filter(|outlook| outlook.low.is_some() || outlook.high.is_some());
        Column {
            at_us: time_us,
            values: Some((value, value)).filter(|_| value.is_finite()),
            expected: outlook.map_or(0.0, |outlook| outlook.expected),
            expected_of: f64::from(u8::from(outlook.is_some())),
            band: band.map(|of| (of.low.unwrap_or(f64::NEG_INFINITY), of.high.unwrap_or(f64::INFINITY))),
            alert: alert.then_some(value),
        }
    }

    fn join(&mut self, other: &Column) {
        self.at_us = self.at_us.min(other.at_us);
        self.values = hull(self.values, other.values);
        self.band = hull(self.band, other.band);
        self.expected_of += other.expected_of;
        if other.expected_of > 0.0 {
            self.expected += (other.expected - self.expected) * (other.expected_of / self.expected_of);
        }
        self.alert = self.alert.or(other.alert);
    }
}

fn hull(one: Option<(f64, f64)>, other: Option<(f64, f64)>) -> Option<(f64, f64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        _ => one.or(other),
    }
}

/// A series as its columns.
#[derive(Default)]
pub struct Folded {
    /// A column is 2^shift microseconds wide and begins at a multiple of that.
    shift: u32,
    columns: BTreeMap<i64, Column>,
    /// The first and the last time.
    pub span: Option<(i64, i64)>,
    pub lines: u64,
    pub alerts: u64,
}

impl Folded {
    pub fn add(&mut self, time_us: i64, value: f64, outlook: Option<Outlook>, alert: bool) {
        let (first, last) = self.span.unwrap_or((time_us, time_us));
        self.span = Some((first.min(time_us), last.max(time_us)));
        self.lines += 1;
        self.alerts += u64::from(alert);
        self.put(time_us >> self.shift, Column::of(time_us, value, outlook, alert));
        // Ends: at a shift of 63 there are two columns.
        while self.columns.len() > COLUMNS_MAX {
            self.shift += 1;
            for (at, column) in std::mem::take(&mut self.columns) {
                self.put(at >> 1, column);
            }
        }
    }

    fn put(&mut self, at: i64, column: Column) {
        self.columns.entry(at).and_modify(|there| there.join(&column)).or_insert(column);
    }

    /// In the order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.columns.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn outlook(at: f64) -> Option<Outlook> {
        Some(Outlook { expected: at, low: Some(at - 1.0), high: Some(at + 2.0) })
    }

    #[test]
    fn a_short_series_keeps_each_line() {
        let mut columns = Folded::default();
        for (at, value) in [1.0, f64::NAN, 3.0].into_iter().enumerate() {
            columns.add(at as i64 * SECOND, value, outlook(5.0).filter(|_| at > 0), at == 2);
        }
        let got: Vec<_> = columns.iter().map(|c| (c.at_us, c.values, c.expected_of, c.band, c.alert)).collect();
        let band = Some((4.0, 7.0));
        let want = [
            (0, Some((1.0, 1.0)), 0.0, None, None),
            (SECOND, None, 1.0, band, None),
            (2 * SECOND, Some((3.0, 3.0)), 1.0, band, Some(3.0)),
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn a_long_series_is_bounded_and_loses_neither_extremes_nor_alerts() {
        let mut columns = Folded::default();
        let lines = 100_000;
        for at in 0..lines {
            let value = if at == 40_000 { 1e9 } else { (at % 7) as f64 };
            columns.add(at * 60 * SECOND, value, outlook(3.0), at % 10_000 == 9_999);
            assert!(columns.columns.len() <= COLUMNS_MAX, "{at}");
        }
        assert_eq!((columns.lines, columns.alerts), (100_000, 10));
        assert!(columns.columns.len() > COLUMNS_MAX / 2, "{}", columns.columns.len());
        assert_eq!(columns.iter().filter(|column| column.alert.is_some()).count(), 10);
        assert_eq!(columns.iter().filter(|column| column.values == Some((0.0, 1e9))).count(), 1);
        assert!(columns.iter().all(|column| (column.expected, column.band) == (3.0, Some((2.0, 5.0)))));
    }

    #[test]
    fn a_column_has_the_mean_of_what_was_expected_and_the_widest_band() {
        let mut one = Column::of(7, 1.0, outlook(10.0), false);
        one.join(&Column::of(5, 4.0, outlook(40.0), true));
        one.join(&Column::of(6, f64::NAN, None, false));
        one.join(&Column::of(8, 2.0, Some(Outlook { expected: 10.0, low: None, high: Some(0.0) }), true));
        assert_eq!((one.at_us, one.values, one.alert), (5, Some((1.0, 4.0)), Some(4.0)));
        assert_eq!((one.expected, one.expected_of, one.band), (20.0, 3.0, Some((f64::NEG_INFINITY, 42.0))));
    }

    #[test]
    fn any_order_of_time_and_its_ends_are_taken() {
        let mut columns = Folded::default();
        for at in 0..10_000i64 {
            for time in [i64::MIN + at, i64::MAX - at, -at] {
                columns.add(time, 1.0, None, false);
            }
        }
        assert!(columns.columns.len() <= COLUMNS_MAX && columns.iter().is_sorted_by_key(|column| column.at_us));
        assert_eq!(columns.span, Some((i64::MIN, i64::MAX)));
    }
}
