//! Points of any series: noise is quiet, what is odd is seen once. Seeds are fixed and the counts are asserted, so that a change of
//! the method shows what it costs.

use std::f64::consts::TAU;

use super::series::{Scored, Series, SeriesParams};
use super::sim::seeded;
use crate::testkit::Chance;

const WINDOWS: usize = 10_000;
const SEEDS: u64 = 5;
const DAY: usize = 288;

fn day(at: usize) -> f64 {
    1.0 - 0.8 * (TAU * at as f64 / DAY as f64).cos()
}

fn time_us(at: usize) -> i64 {
    1_400_000_000_000_000 + at as i64 * 300_000_000
}

/// Points at which a series alerted.
fn alerts(points: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let mut series = Series::new(SeriesParams::default());
    let scored = points.into_iter().enumerate().map(|(at, value)| series.observe(time_us(at), value).alert);
    scored.enumerate().filter(|(_, alert)| *alert).map(|(at, _)| at).collect()
}

fn alerts_in_ten_thousand(mut value: impl FnMut(&mut Chance, usize) -> f64) -> f64 {
    let total: usize = (0..SEEDS)
        .map(|seed| {
            let mut chance = seeded(seed);
            alerts((0..WINDOWS).map(|at| value(&mut chance, at))).len()
        })
        .sum();
    total as f64 / SEEDS as f64
}

#[test]
fn noise_is_quiet() {
    let mut level = 0.0;
    assert!(alerts_in_ten_thousand(|c, _| 100.0 + c.normal()) <= 1.0);
    assert!(alerts_in_ten_thousand(|c, _| c.uniform()) <= 1.0);
    assert!(alerts_in_ten_thousand(|c, at| 0.01 * at as f64 + c.normal()) <= 1.0, "trend");
    assert!(alerts_in_ten_thousand(|c, at| 10.0 * day(at) + c.normal()) <= 1.0, "days");
    let walk = alerts_in_ten_thousand(|c, at| {
        level = if at == 0 { 0.0 } else { level + c.normal() };
        level
    });
    assert!(walk <= 1.0, "random walk: {walk}");
    assert!(alerts(vec![5.0; 5000]).is_empty(), "flat");
}

#[test]
fn one_odd_point_of_a_constant_series_does_not_alert_again_on_the_next_days() {
    for (usual, odd) in [(5.0, 9.0), (100.0, 0.0)] {
        let points = (0..4000).map(|at| if at == 3000 { odd } else { usual });
        assert_eq!(alerts(points.collect::<Vec<_>>()), [3000], "{usual}, once {odd}");
    }
}

#[test]
fn heavy_tailed_noise_is_nearly_quiet() {
    let laplace = alerts_in_ten_thousand(|c, _| -c.uniform().ln());
    assert!(laplace <= 15.0, "exponential: {laplace}");
    let lognormal = alerts_in_ten_thousand(|c, _| c.normal().exp());
    assert!(lognormal <= 12.0, "lognormal: {lognormal}");
    let pareto = alerts_in_ten_thousand(|c, _| c.pareto(1.5));
    assert!(pareto <= 14.0, "Pareto: {pareto}");
}

#[test]
fn a_spike_alerts_once() {
    let mut chance = seeded(1);
    let points = (0..3000).map(|at| 50.0 + chance.normal() + if at == 2000 { 30.0 } else { 0.0 });
    assert_eq!(alerts(points.collect::<Vec<_>>()), [2000]);
}

#[test]
fn a_level_shift_alerts_once_and_is_the_new_normal() {
    let mut chance = seeded(2);
    let points = (0..5000).map(|at| 50.0 + chance.normal() + if at >= 2000 { 15.0 } else { 0.0 });
    assert_eq!(alerts(points.collect::<Vec<_>>()), [2000]);
}

#[test]
fn a_change_of_variance_is_seen() {
    let mut chance = seeded(3);
    let points = (0..3000).map(|at| 50.0 + chance.normal() * if at >= 2000 { 6.0 } else { 1.0 });
    let got = alerts(points.collect::<Vec<_>>());
    assert!(!got.is_empty() && got.len() <= 3 && (2000..2020).contains(&got[0]), "louder: {got:?}");
    let points = (0..3000).map(|at| if at >= 2000 { 50.0 } else { 50.0 + chance.normal() });
    let got = alerts(points.collect::<Vec<_>>());
    assert!(got.len() == 1 && (2000..2200).contains(&got[0]), "frozen: {got:?}");
}

#[test]
fn a_day_without_its_bump_is_seen() {
    let mut chance = seeded(4);
    let points = (0..DAY * 16).map(|at| {
        let busy = (108..216).contains(&(at % DAY)) && at / DAY != 12;
        chance.normal() + if busy { 80.0 } else { 20.0 }
    });
    let got: Vec<usize> = alerts(points.collect::<Vec<_>>()).into_iter().filter(|at| *at > 3 * DAY).collect();
    assert_eq!(got.len(), 1, "{got:?}");
    assert!((DAY * 12 + 108..DAY * 12 + 116).contains(&got[0]), "{got:?}");
}

#[test]
fn holes_gaps_and_odd_values_are_survived() {
    let mut series = Series::new(SeriesParams::default());
    let mut chance = seeded(5);
    let mut time = 0i64;
    for at in 0..3000 {
        time += if at % 500 == 499 { 86_400_000_000 * 3 } else { 60_000_000 };
        let value = match at % 97 {
            13 => f64::NAN,
            14 => f64::NEG_INFINITY,
            _ => 10.0 + chance.normal(),
        };
        let Scored { anomaly_score, alert } = series.observe(time, value);
        assert!((0.0..1.0).contains(&anomaly_score), "{at}");
        assert!(!alert, "{at}");
    }
    for (at, value) in [f64::MAX, f64::MIN, 0.0, 1e300].into_iter().cycle().take(200).enumerate() {
        let scored = series.observe([i64::MIN, i64::MAX, 0, time][at % 4], value);
        assert!((0.0..=1.0).contains(&scored.anomaly_score), "{scored:?}");
    }
}

#[test]
fn a_restored_series_goes_on_as_if_never_stopped() {
    let mut chance = seeded(6);
    let values: Vec<f64> = (0..3000).map(|at| 100.0 * day(at) * chance.gamma(5.0)).collect();
    let mut straight = Series::new(SeriesParams::default());
    let mut pieces = straight.clone();
    for (at, &value) in values.iter().enumerate() {
        if at % 333 == 332 {
            let text = serde_json::to_string(&pieces).expect("plain data");
            pieces = serde_json::from_str(&text).expect("own text");
        }
        assert_eq!(straight.observe(time_us(at), value), pieces.observe(time_us(at), value), "{at}");
    }
    assert_eq!(straight, pieces);
}
