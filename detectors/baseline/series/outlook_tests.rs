//! What the band promises, over series of many kinds: outside it a point alerts, inside it no test of that point alone does. Seeds
//! are fixed, so that what is counted is asserted.

use std::f64::consts::TAU;

use super::super::sim::seeded;
use super::*;
use crate::testkit::Chance;

const MINUTE_US: i64 = 60_000_000;
const STEP_US: i64 = 5 * MINUTE_US;
const DAY: f64 = 288.0;

fn new() -> Series {
    Series::new(SeriesParams::default())
}

/// Point `at` of a series of this kind.
fn point(kind: &str, chance: &mut Chance, at: usize) -> f64 {
    let day = 100.0 * (1.2 + (at as f64 / DAY * TAU).sin());
    match kind {
        "noise" => chance.normal(),
        "wild" => chance.pareto(1.5),
        "spikes all alike" => {
            if chance.uniform() < 0.01 {
                10.0
            } else {
                chance.normal()
            }
        }
        "few counts" => chance.poisson(0.3),
        "levels" => (at / 700 * 20) as f64 + chance.normal(),
        "a day with an outage" => {
            if (3000..3020).contains(&at) {
                3.0
            } else {
                day + 5.0 * chance.normal()
            }
        }
        "a level with holes" => {
            if at % 50 == 49 {
                f64::NAN
            } else {
                -1e6 + chance.normal()
            }
        }
        _ => {
            if at == 2000 {
                7.0
            } else {
                5.0
            }
        }
    }
}

const KINDS: [&str; 8] = [
    "noise",
    "wild",
    "spikes all alike",
    "few counts",
    "levels",
    "a day with an outage",
    "a level with holes",
    "constant but for one",
];

/// The most that the tests of the point alone are surprised by it.
fn surprise_alone(series: &Series, time_us: i64, value: f64) -> f64 {
    let (memory, floor) = (series.params.memory, FLOOR_SHARE * series.value.spread());
    let bound = SEASON_BOUND * series.value.spread().max(1e-12);
    let surprise = |channel: &Channel, x: f64| channel.clone().observe(x, memory, floor);
    let most = surprise(&series.value, value).max(surprise(&series.jump, value - series.fast));
    match series.season.clone().observe(time_us, value, bound) {
        Some(expected) if series.season.settled(time_us) => most.max(surprise(&series.off_season, value - expected)),
        _ => most,
    }
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    outside: u32,
    outside_and_quiet: u32,
    inside: u32,
    inside_and_rare: u32,
    /// Of those, the ones next to the edge.
    at_the_edge: u32,
    /// The season is taken up or dropped with the very point.
    turned: u32,
}

fn probe(tally: &mut Tally, series: &Series, time_us: i64, outlook: Outlook) {
    let Outlook { low: Some(low), high: Some(high), .. } = outlook else { return };
    let bound = SEASON_BOUND * series.value.spread().max(1e-12);
    let season = series.season.outlook(time_us);
    let bar = series.episode.bar(series.count + 1.0, &series.params).expect("there is a band");
    let turns = |value: f64| series.season.clone().observe(time_us, value, bound) != season;
    let width = (high - low).max(1e-9 * high.abs()).max(1e-12);
    for share in [1e-4, 0.2, 5.0, 1e5] {
        for value in [high + share * width, low - share * width] {
            if turns(value) {
                tally.turned += 1;
                continue;
            }
            let scored = series.clone().observe(time_us, value);
            tally.outside += 1;
            tally.outside_and_quiet += u32::from(!scored.alert || scored.anomaly_score < series.params.alert_score);
        }
    }
    for share in [1e-4, 0.1, 0.5, 0.9, 0.9999] {
        let value = low + share * (high - low);
        if turns(value) {
            tally.turned += 1;
            continue;
        }
        tally.inside += 1;
        let rare = u32::from(surprise_alone(series, time_us, value) >= bar);
        tally.inside_and_rare += rare;
        tally.at_the_edge += if (0.05..0.95).contains(&share) { 0 } else { rare };
    }
}

#[test]
fn outside_the_band_a_point_alerts_and_inside_no_test_of_it_alone_does() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        let (mut series, mut chance, mut tally) = (new(), seeded(seed as u64 + 70), Tally::default());
        for at in 0..4000 {
            let (time_us, value) = (at as i64 * STEP_US, point(kind, &mut chance, at));
            let outlook = series.outlook(time_us);
            if let Some(outlook) = outlook.filter(|_| at % 5 == 0) {
                probe(&mut tally, &series, time_us, outlook);
            }
            let scored = series.observe(time_us, value);
            let outside = outlook
                .is_some_and(|of| of.low.is_some_and(|low| value < low) || of.high.is_some_and(|high| value > high));
            assert!(scored.alert || !outside, "{kind} {at}: {value} {outlook:?}");
        }
        assert!(tally.outside > 5000 && tally.inside > 3000, "{kind}: {tally:?}");
        assert_eq!(tally.outside_and_quiet, 0, "{kind}: {tally:?}");
        // Of distances that are all alike the tail may dip once before the edge (`rarity`); the band is the wider one.
        let dips = if ["spikes all alike", "few counts"].contains(&kind) { tally.inside / 50 } else { 0 };
        assert!(tally.inside_and_rare <= dips && tally.inside_and_rare == tally.at_the_edge, "{kind}: {tally:?}");
        assert!(tally.turned * 100 <= tally.outside, "{kind}: {tally:?}");
    }
}

#[test]
fn the_first_points_have_no_band_and_the_very_first_no_expectation() {
    let (mut series, mut chance) = (new(), seeded(80));
    for at in 0..200 {
        let time_us = at * STEP_US;
        let outlook = series.outlook(time_us);
        assert_eq!(outlook.is_some(), at > 0, "{at}");
        // The bar is too high for any surprise until then.
        let bounds = outlook.map_or(0, |of| u32::from(of.low.is_some()) + u32::from(of.high.is_some()));
        assert_eq!(bounds, if at < 49 { 0 } else { 2 }, "{at}: {outlook:?}");
        series.observe(time_us, 10.0 + chance.normal());
    }
}

#[test]
fn after_a_spike_the_band_holds_the_same_again_and_later_no_more() {
    let (mut series, mut chance) = (new(), seeded(81));
    let mut high = |series: &mut Series, at: i64, spike: bool| {
        let outlook = series.outlook(at * STEP_US).expect("not the first");
        let alert = series.observe(at * STEP_US, if spike { 40.0 } else { 10.0 + chance.normal() }).alert;
        assert_eq!(alert, spike, "{at}");
        outlook.high.expect("a spike of this height leaves a bar")
    };
    series.observe(0, 10.0);
    for at in 1..49 {
        series.observe(at * STEP_US, 10.0 + (at % 5) as f64);
    }
    let before = (49..600).map(|at| high(&mut series, at, false)).last().expect("points");
    assert!((12.0..25.0).contains(&before), "{before}");
    high(&mut series, 600, true);
    let after = high(&mut series, 601, false);
    assert!(after > 40.0, "{after}");
    let later = (602..2600).map(|at| high(&mut series, at, false)).last().expect("points");
    assert!((12.0..30.0).contains(&later), "{later}");
}

#[test]
fn expected_is_the_season_or_the_level_before_or_after_a_gap_the_mean_of_all() {
    let (mut series, mut chance) = (new(), seeded(82));
    let day = |at: usize| 100.0 * (1.2 + (at as f64 / DAY * TAU).sin());
    let mut off = [0.0f64; 2];
    for at in 0..2880 {
        let time_us = at as i64 * STEP_US;
        let expected = series.outlook(time_us).map_or(day(at), |outlook| outlook.expected);
        off[at / 1440] = off[at / 1440].max((expected - day(at)).abs());
        series.observe(time_us, day(at) + chance.normal());
    }
    assert!(off[1] < 6.0 && off[0] > off[1], "{off:?}");

    let mut series = new();
    for at in 0..100 {
        series.observe(at * MINUTE_US, if at < 90 { 10.0 } else { 20.0 });
    }
    let at = |minute: i64| series.outlook(minute * MINUTE_US).expect("not the first").expected;
    assert!((19.0..20.0).contains(&at(100)), "{}", at(100));
    assert!((10.0..12.0).contains(&at(1000)), "{}", at(1000));
}

#[test]
fn enormous_values_have_finite_bounds_or_none() {
    let mut series = new();
    for at in 0..1000i64 {
        let outlook = series.outlook(at * STEP_US);
        let fine = |bound: Option<f64>| bound.is_none_or(|bound| bound.abs() < VALUE_MAX);
        assert!(outlook.is_none_or(|of| of.expected.is_finite() && fine(of.low) && fine(of.high)), "{at}: {outlook:?}");
        series.observe(at * STEP_US, [1.0, f64::MAX, -1e300, f64::NAN, f64::MIN, 0.0][at as usize % 6]);
    }
}
