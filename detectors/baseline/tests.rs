//! Ordinary traffic stays quiet, incidents are caught in their first window; points of any series likewise. Seeds are
//! fixed and the counts are asserted, so that a change of the method shows what it costs.

use std::f64::consts::TAU;

use super::series::{Scored, Series, SeriesParams};
use super::sim::Chance;
use super::*;

const WINDOWS: usize = 10_000;
const SEEDS: u64 = 5;
const DAY: usize = 288;

fn params(kind: Kind) -> Params {
    let floor = match kind {
        Kind::Count => 1.0,
        Kind::Rate => 0.005,
        Kind::Amount => 1000.0,
    };
    let (sigmas, min_change, direction) = (3.0, 0.5, Direction::Up);
    Params { sigmas, history_windows: 288, warmup_windows: 12, floor, min_change, kind, direction }
}

/// Breaches in `SEEDS` simulated series of `WINDOWS` windows each.
fn false_alerts(p: &Params, mut window: impl FnMut(&mut Chance, usize) -> (f64, f64)) -> usize {
    let mut breaches = 0;
    for seed in 0..SEEDS {
        let (mut chance, mut history) = (Chance::new(seed), History::default());
        for at in 0..WINDOWS {
            let (value, n) = window(&mut chance, at);
            breaches += usize::from(history.judge(p, None, value, n).is_some_and(|j| j.breach));
            history.teach(p, value, n);
        }
    }
    breaches
}

/// Of 100 incidents, each at another place of ordinary traffic, how many breach in their first window.
fn caught(
    p: &Params,
    mut window: impl FnMut(&mut Chance, usize) -> (f64, f64),
    mut incident: impl FnMut(&mut Chance, f64, f64) -> (f64, f64),
) -> usize {
    let (mut chance, mut history) = (Chance::new(7), History::default());
    let mut breaches = 0;
    for at in 0..10_300 {
        let (value, n) = window(&mut chance, at);
        if at >= 400 && at % 99 == 0 {
            let (value, n) = incident(&mut chance, value, n);
            breaches += usize::from(history.judge(p, None, value, n).is_some_and(|j| j.breach));
        }
        history.teach(p, value, n);
    }
    breaches
}

fn day(at: usize) -> f64 {
    1.0 - 0.8 * (TAU * at as f64 / DAY as f64).cos()
}

fn week(at: usize) -> f64 {
    let of = |day: usize| if day % 7 >= 5 { 0.4 } else { 1.0 };
    let (day, part) = (at / DAY, (4.0 * (at % DAY) as f64 / DAY as f64).min(1.0));
    of(day + 6) * (1.0 - part) + of(day) * part
}

fn both(count: f64) -> (f64, f64) {
    (count, count)
}

#[test]
fn ordinary_counts_are_quiet() {
    let p = params(Kind::Count);
    for mean in [0.05, 1.0, 5.0, 50.0, 1000.0] {
        let alerts = false_alerts(&p, |c, _| both(c.poisson(mean)));
        assert!(alerts <= 1, "Poisson {mean}: {alerts}");
    }
    for (mean, shape) in [(20.0, 2.0), (200.0, 4.0), (100.0, 10.0)] {
        let alerts = false_alerts(&p, |c, _| both(c.negative_binomial(mean, shape)));
        assert!(alerts <= 1, "negative binomial {mean} {shape}: {alerts}");
    }
    let alerts = false_alerts(&p, |c, at| both(c.poisson(100.0 * day(at))));
    assert!(alerts <= 1, "days: {alerts}");
    let alerts = false_alerts(&p, |c, at| both(c.negative_binomial(100.0 * day(at) * week(at), 10.0)));
    assert!(alerts <= 1, "days and weeks: {alerts}");
    let alerts = false_alerts(&p, |c, at| both(c.poisson(if at % 12 == 0 { 200.0 } else { 20.0 })));
    assert!(alerts <= 1, "an hourly job: {alerts}");
}

#[test]
fn bursty_and_heavy_tailed_counts_are_nearly_quiet() {
    let p = params(Kind::Count);
    let burst = |c: &mut Chance| if c.uniform() < 0.02 { 3.0 * c.pareto(1.5) } else { 1.0 };
    let alerts = false_alerts(&p, |c, _| {
        let mean = (20.0 * burst(c)).min(1e5);
        both(c.poisson(mean))
    });
    assert!(alerts <= 8, "bursts: {alerts}");
    let alerts = false_alerts(&p, |c, _| {
        let mean = (5.0 * c.pareto(1.2)).min(1e5);
        both(c.poisson(mean))
    });
    assert!(alerts <= 8, "Zipf-like: {alerts}");
}

#[test]
fn ordinary_rates_and_amounts_are_quiet() {
    let p = params(Kind::Rate);
    for (trials, share) in [(2.0, 0.01), (20.0, 0.01), (100.0, 0.01), (1000.0, 0.022)] {
        let alerts = false_alerts(&p, |c, _| {
            let n = c.poisson(trials).max(1.0);
            (c.binomial(n, share) / n, n)
        });
        assert!(alerts <= 1, "{trials} {share}: {alerts}");
    }
    // A real public log: 2.2 % +- 1.9 %.
    let alerts = false_alerts(&p, |c, _| {
        let (n, share) = (c.poisson(300.0).max(1.0), (0.022 * c.gamma(1.4)).min(0.5));
        (c.binomial(n, share) / n, n)
    });
    assert!(alerts <= 4, "over-dispersed rate: {alerts}");
    let p = params(Kind::Amount);
    for sigma in [0.5, 1.5] {
        let alerts = false_alerts(&p, |c, _| ((10.0 + sigma * c.normal()).exp(), 5.0));
        assert!(alerts <= 1, "lognormal {sigma}: {alerts}");
    }
    let alerts = false_alerts(&p, |c, _| (2000.0 * c.pareto(1.3), 5.0));
    assert!(alerts <= 1, "Pareto amounts: {alerts}");
}

#[test]
fn incidents_are_caught_in_their_first_window() {
    let p = params(Kind::Count);
    let times_five = |c: &mut Chance, value: f64, _| both(c.poisson(5.0 * value));
    assert_eq!(caught(&p, |c, _| both(c.poisson(50.0)), times_five), 100);
    let got = caught(&p, |c, at| both(c.poisson(100.0 * day(at))), times_five);
    assert!(got >= 97, "with days: {got}");
    let p = params(Kind::Rate);
    let errors = |c: &mut Chance, _: f64, n: f64| (c.binomial(n, 0.2) / n, n);
    for trials in [200.0, 1000.0] {
        let ordinary = |c: &mut Chance, _| {
            let n = c.poisson(trials).max(1.0);
            (c.binomial(n, 0.01) / n, n)
        };
        assert_eq!(caught(&p, ordinary, errors), 100, "{trials} requests a window");
    }
    let p = params(Kind::Amount);
    let export = |_: &mut Chance, value: f64, n: f64| (100.0 * value, n);
    let got = caught(&p, |c, _| ((12.0 + 0.5 * c.normal()).exp(), 5.0), export);
    assert_eq!(got, 100, "exports");
}

#[test]
fn two_requests_are_not_an_error_rate() {
    let p = params(Kind::Rate);
    let mut history = History::default();
    for _ in 0..300 {
        history.teach(&p, 0.01, 100.0);
    }
    let small = history.judge(&p, None, 0.5, 2.0).expect("warm");
    assert!(!small.breach && small.sigmas > 3.0 && small.tail > 0.01, "{small:?}");
    let large = history.judge(&p, None, 0.5, 200.0).expect("warm");
    assert!(large.breach && large.tail < 1e-9, "{large:?}");
    assert!((large.expected - 0.01).abs() < 0.001, "{large:?}");
}

#[test]
fn a_shift_alerts_and_becomes_the_new_normal() {
    let p = params(Kind::Count);
    let (mut chance, mut history) = (Chance::new(3), History::default());
    let mut breaches = Vec::new();
    for at in 0..2000 {
        let value = chance.poisson(if at < 500 { 20.0 } else { 200.0 });
        if history.judge(&p, None, value, value).is_some_and(|j| j.breach) {
            breaches.push(at);
        }
        history.teach(&p, value, value);
    }
    assert_eq!(breaches.first(), Some(&500));
    assert!(breaches.iter().all(|at| (500..=508).contains(at)), "{breaches:?}");
}

#[test]
fn the_same_incident_alerts_again_a_day_later() {
    let p = params(Kind::Rate);
    let (mut chance, mut history) = (Chance::new(9), History::default());
    let mut first_windows = Vec::new();
    for at in 0..1500 {
        let incident = at >= 600 && (at - 600) % 400 < 6;
        let n = chance.poisson(200.0).max(1.0);
        let value = chance.binomial(n, if incident { 0.2 } else { 0.01 }) / n;
        if history.judge(&p, None, value, n).is_some_and(|j| j.breach) && (at - 600) % 400 == 0 {
            first_windows.push(at);
        }
        history.teach(&p, value, n);
    }
    assert_eq!(first_windows, [600, 1000, 1400]);
}

#[test]
fn a_parent_lends_what_a_newcomer_lacks() {
    let p = params(Kind::Count);
    let (mut parent, newcomer) = (History::default(), History::default());
    let mut chance = Chance::new(4);
    for _ in 0..300 {
        parent.teach(&p, chance.negative_binomial(20.0, 8.0), 20.0);
    }
    assert_eq!(newcomer.judge(&p, None, 500.0, 500.0), None);
    assert_eq!(newcomer.judge(&p, Some(&newcomer), 500.0, 500.0), None, "a parent must be warm itself");
    let judged = newcomer.judge(&p, Some(&parent), 500.0, 500.0).expect("lent");
    assert!(judged.breach && (judged.expected - 20.0).abs() < 2.0, "{judged:?}");
    assert!(!newcomer.judge(&p, Some(&parent), 45.0, 45.0).expect("lent").breach);
}

#[test]
fn quiet_windows_are_zeros_for_counts_alone() {
    let p = params(Kind::Count);
    let mut history = History::default();
    (0..50).for_each(|_| history.teach(&p, 20.0, 20.0));
    let mut pieces = history.clone();
    history.teach_quiet(&p, 700);
    (0..700).for_each(|_| pieces.teach_quiet(&p, 1));
    assert_eq!(history, pieces);
    assert!(history.judge(&p, None, 0.0, 0.0).expect("warm").expected < 2.0);
    let mut long = history.clone();
    long.teach_quiet(&p, u64::MAX / 2);
    assert_eq!(long.windows(), 750 + u64::MAX / 2);
    let rate = params(Kind::Rate);
    let mut history = History::default();
    history.teach_quiet(&rate, 1000);
    assert_eq!(history, History::default());
}

#[test]
fn history_is_small_and_survives_a_snapshot() {
    assert!(std::mem::size_of::<History>() <= 128);
    let p = params(Kind::Count);
    let (mut chance, mut history) = (Chance::new(5), History::default());
    for at in 0..1000 {
        let value = chance.negative_binomial(30.0, 3.0);
        if at % 100 == 50 {
            let text = serde_json::to_string(&history).expect("plain data");
            let back: History = serde_json::from_str(&text).expect("own text");
            assert_eq!(back, history);
            history = back;
        }
        history.teach(&p, value, value);
    }
    assert_eq!(history.windows(), 1000);
    assert_eq!(history.recent().len(), 8);
}

#[test]
fn odd_values_do_not_spread() {
    for kind in [Kind::Count, Kind::Rate, Kind::Amount] {
        let p = Params { floor: 0.0, direction: Direction::Both, ..params(kind) };
        let mut history = History::default();
        for value in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1e300, 1e-300, 1.0, 0.5].repeat(20) {
            history.teach(&p, value, 3.0);
            history.teach(&p, value, f64::NAN);
            if let Some(judged) = history.judge(&p, None, 0.7, 3.0) {
                assert!(judged.spread.is_finite() && judged.spread > 0.0, "{kind:?} {value}: {judged:?}");
                assert!((0.0..=1.0).contains(&judged.tail), "{kind:?} {value}: {judged:?}");
            }
        }
        assert_eq!(history.judge(&p, None, f64::NAN, 1.0), None);
    }
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
            let mut chance = Chance::new(seed);
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
    let mut chance = Chance::new(1);
    let points = (0..3000).map(|at| 50.0 + chance.normal() + if at == 2000 { 30.0 } else { 0.0 });
    assert_eq!(alerts(points.collect::<Vec<_>>()), [2000]);
}

#[test]
fn a_level_shift_alerts_once_and_is_the_new_normal() {
    let mut chance = Chance::new(2);
    let points = (0..5000).map(|at| 50.0 + chance.normal() + if at >= 2000 { 15.0 } else { 0.0 });
    assert_eq!(alerts(points.collect::<Vec<_>>()), [2000]);
}

#[test]
fn a_change_of_variance_is_seen() {
    let mut chance = Chance::new(3);
    let points = (0..3000).map(|at| 50.0 + chance.normal() * if at >= 2000 { 6.0 } else { 1.0 });
    let got = alerts(points.collect::<Vec<_>>());
    assert!(!got.is_empty() && got.len() <= 3 && (2000..2020).contains(&got[0]), "louder: {got:?}");
    let points = (0..3000).map(|at| if at >= 2000 { 50.0 } else { 50.0 + chance.normal() });
    let got = alerts(points.collect::<Vec<_>>());
    assert!(got.len() == 1 && (2000..2200).contains(&got[0]), "frozen: {got:?}");
}

#[test]
fn a_day_without_its_bump_is_seen() {
    let mut chance = Chance::new(4);
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
    let mut chance = Chance::new(5);
    let mut time = 0i64;
    for at in 0..3000 {
        time += if at % 500 == 499 { 86_400_000_000 * 3 } else { 60_000_000 };
        let value = match at % 97 {
            13 => f64::NAN,
            14 => f64::NEG_INFINITY,
            _ => 10.0 + chance.normal(),
        };
        let Scored { anomaly_score, alert, expected, spread } = series.observe(time, value);
        assert!((0.0..1.0).contains(&anomaly_score) && expected.is_finite() && spread.is_finite(), "{at}");
        assert!(!alert, "{at}");
    }
    for (at, value) in [f64::MAX, f64::MIN, 0.0, 1e300].into_iter().cycle().take(200).enumerate() {
        let scored = series.observe([i64::MIN, i64::MAX, 0, time][at % 4], value);
        assert!((0.0..=1.0).contains(&scored.anomaly_score) && scored.spread.is_finite(), "{scored:?}");
    }
}

#[test]
fn a_restored_series_goes_on_as_if_never_stopped() {
    let mut chance = Chance::new(6);
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
