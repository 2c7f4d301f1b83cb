//! Windows of entities: ordinary traffic stays quiet, incidents are caught in their first window, nobody gets away by patience,
//! and what is told is not learned. Seeds are fixed and the counts are asserted, so that a change of the method shows what it
//! costs.

use std::f64::consts::TAU;

use super::sim::seeded;
use super::*;
use crate::testkit::Chance;

/// Ten-minute windows.
pub(super) const DAY: usize = 144;
pub(super) const WEEK: usize = 7 * DAY;
const WINDOWS: usize = 10_000;
const SEEDS: u64 = 5;
/// Three days.
const ACCEPTED: u32 = 432;

pub(super) fn params(kind: Kind) -> Params {
    let floor = match kind {
        Kind::Count => 1.0,
        Kind::Rate => 0.0,
        Kind::Amount => 1_000.0,
    };
    let min_change = if kind == Kind::Rate { 0.5 } else { 1.0 };
    let history_windows = WEEK as u32;
    Params { sigmas: 3.0, history_windows, warmup_windows: 12, floor, min_change, kind, direction: Direction::Up }
}

const WINDOW_US: i64 = 600_000_000;

/// One entity as a detector keeps it: its past, and whether an alert about it is open. Windows come one after the other from a
/// Monday on.
#[derive(Clone)]
pub(super) struct Entity<P: Past> {
    pub(super) past: P,
    pool: P::Pool,
    open: bool,
    calm: u32,
    at: u32,
}

impl<P: Past> Default for Entity<P> {
    fn default() -> Entity<P> {
        let monday = 4 * DAY as u32;
        Entity { past: P::default(), pool: P::Pool::default(), open: false, calm: 0, at: monday }
    }
}

impl<P: Past> Entity<P> {
    /// The next window, with this value of so many events.
    fn next(&self, (value, events): (f64, f64)) -> Window {
        Window { value, events, when: When::new(self.at, WINDOW_US) }
    }

    fn judge(&self, p: &Params, window: (f64, f64), look: Look) -> Option<Judgement> {
        self.past.judge(p, &self.pool, self.next(window), look)
    }

    /// True when an alert opens with this window.
    fn step(&mut self, p: &Params, window: (f64, f64)) -> bool {
        let window = self.next(window);
        self.at += 1;
        let judged = self.past.judge(p, &self.pool, window, Look::Whole);
        let (breach, calm) = judged.map_or((false, true), |j| (j.breach, j.calm));
        self.calm = if calm { self.calm + 1 } else { 0 };
        let opens = breach && !self.open;
        self.open |= breach;
        if !self.open {
            self.past.teach(p, &self.pool, window, judged.as_ref());
            return false;
        }
        self.past.hold(p, &self.pool, window, judged.as_ref(), ACCEPTED);
        if self.calm >= 2 {
            self.open = false;
            self.past.let_go(p, &self.pool);
        }
        opens
    }

    pub(super) fn steps(&mut self, p: &Params, windows: impl IntoIterator<Item = (f64, f64)>) -> Vec<usize> {
        windows.into_iter().enumerate().filter_map(|(at, window)| self.step(p, window).then_some(at)).collect()
    }
}

impl Entity<Counts> {
    pub(super) fn of(windows: usize, mut count: impl FnMut(usize) -> f64) -> Entity<Counts> {
        let (p, mut entity) = (params(Kind::Count), Entity::default());
        entity.steps(&p, (0..windows).map(|at| both(count(at))));
        entity
    }

    /// The smallest count that would be a breach now, within 2 %.
    pub(super) fn smallest(&self) -> f64 {
        let (p, mut count) = (params(Kind::Count), 1.0f64);
        let found = |count: f64| self.judge(&p, both(count), Look::Running(1)).is_some_and(|j| j.breach);
        while count < 1e7 && !found(count) {
            count = (count * 1.02).ceil();
        }
        count
    }
}

/// A window at no time in particular.
fn at((value, events): (f64, f64)) -> Window {
    Window { value, events, when: When::default() }
}

pub(super) fn both(count: f64) -> (f64, f64) {
    (count, count)
}

/// Scatters as 10 % beyond Poisson.
pub(super) fn usual(chance: &mut Chance, mean: f64) -> f64 {
    chance.negative_binomial(mean, 10.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(super) fn day(at: usize) -> f64 {
    1.0 - 0.8 * (TAU * at as f64 / DAY as f64).cos()
}

/// Eight to six on five days of seven; 1 while open.
pub(super) fn office(at: usize) -> f64 {
    let (hour, weekday) = ((at % DAY) as f64 / 6.0, (at / DAY) % 7);
    if weekday < 5 && (8.0..18.0).contains(&hour) { 1.0 } else { 0.02 }
}

/// Alerts in `SEEDS` simulated entities of `WINDOWS` windows each.
fn false_alerts<P: Past>(p: &Params, mut window: impl FnMut(&mut Chance, usize) -> (f64, f64)) -> usize {
    (0..SEEDS)
        .map(|seed| {
            let (mut chance, mut entity) = (seeded(seed), Entity::<P>::default());
            entity.steps(p, (0..WINDOWS).map(|at| window(&mut chance, at))).len()
        })
        .sum()
}

/// Of 100 incidents, each at another place of ordinary traffic, how many breach in their first window.
fn caught<P: Past>(
    p: &Params,
    mut window: impl FnMut(&mut Chance, usize) -> (f64, f64),
    mut incident: impl FnMut(&mut Chance, f64, f64) -> (f64, f64),
) -> usize {
    let (mut chance, mut entity) = (seeded(7), Entity::<P>::default());
    let mut breaches = 0;
    for at in 0..10_300 {
        let (value, n) = window(&mut chance, at);
        if at >= 400 && at % 99 == 0 {
            let incident = incident(&mut chance, value, n);
            let judged = entity.judge(p, incident, Look::Whole);
            breaches += usize::from(judged.is_some_and(|j| j.breach));
        }
        entity.step(p, (value, n));
    }
    breaches
}

#[test]
fn ordinary_counts_are_quiet() {
    let p = params(Kind::Count);
    let alerts = |window: &dyn Fn(&mut Chance, usize) -> f64| false_alerts::<Counts>(&p, |c, at| both(window(c, at)));
    for mean in [0.05, 1.0, 5.0, 50.0, 1000.0] {
        assert!(alerts(&|c, _| c.poisson(mean)) <= 1, "Poisson {mean}");
    }
    for (mean, shape) in [(20.0, 2.0), (200.0, 4.0), (100.0, 10.0)] {
        assert!(alerts(&|c, _| c.negative_binomial(mean, shape)) <= 1, "negative binomial {mean} {shape}");
    }
    assert!(alerts(&|c, at| c.poisson(100.0 * day(at))) <= 1, "days");
    assert!(alerts(&|c, at| c.negative_binomial(100.0 * day(at) * office(at + 40), 10.0)) <= 5, "days and weeks");
    // One alert each while it is new.
    assert!(alerts(&|c, at| usual(c, 40.0 * office(at))) <= 5, "an office");
    assert!(alerts(&|c, at| c.poisson(if at % 12 == 0 { 200.0 } else { 20.0 })) <= 5, "an hourly job");
}

#[test]
fn bursty_and_heavy_tailed_counts_are_nearly_quiet() {
    let p = params(Kind::Count);
    let burst = |c: &mut Chance| if c.uniform() < 0.02 { 3.0 * c.pareto(1.5) } else { 1.0 };
    let alerts = false_alerts::<Counts>(&p, |c, _| {
        let mean = (20.0 * burst(c)).min(1e5);
        both(c.poisson(mean))
    });
    assert!(alerts <= 10, "bursts: {alerts}");
    let alerts = false_alerts::<Counts>(&p, |c, _| {
        let mean = (5.0 * c.pareto(1.2)).min(1e5);
        both(c.poisson(mean))
    });
    assert!(alerts <= 10, "Zipf-like: {alerts}");
}

#[test]
fn ordinary_rates_and_amounts_are_quiet() {
    let p = params(Kind::Rate);
    for (trials, share) in [(2.0, 0.01), (20.0, 0.01), (100.0, 0.01), (1000.0, 0.022)] {
        let alerts = false_alerts::<Rates>(&p, |c, _| {
            let n = c.poisson(trials).max(1.0);
            (c.binomial(n, share) / n, n)
        });
        assert!(alerts <= 1, "{trials} {share}: {alerts}");
    }
    // A real public log: 2.2 % +- 1.9 %.
    let alerts = false_alerts::<Rates>(&p, |c, _| {
        let (n, share) = (c.poisson(300.0).max(1.0), (0.022 * c.gamma(1.4)).min(0.5));
        (c.binomial(n, share) / n, n)
    });
    assert!(alerts <= 4, "over-dispersed rate: {alerts}");
    let p = params(Kind::Amount);
    for sigma in [0.5, 1.5] {
        let alerts = false_alerts::<Counts>(&p, |c, _| ((10.0 + sigma * c.normal()).exp(), 5.0));
        assert!(alerts <= 5, "lognormal {sigma}: {alerts}");
    }
    let alerts = false_alerts::<Counts>(&p, |c, _| (2000.0 * c.pareto(1.3), 5.0));
    assert!(alerts <= 10, "Pareto amounts: {alerts}");
}

#[test]
fn incidents_are_caught_in_their_first_window() {
    let p = params(Kind::Count);
    let times_five = |c: &mut Chance, value: f64, _| both(c.poisson(5.0 * value));
    assert_eq!(caught::<Counts>(&p, |c, _| both(c.poisson(50.0)), times_five), 100);
    let got = caught::<Counts>(&p, |c, at| both(c.poisson(100.0 * day(at))), |c, _, _| both(c.poisson(900.0)));
    assert!(got >= 97, "with days: {got}");
    let p = params(Kind::Rate);
    let errors = |c: &mut Chance, _: f64, n: f64| (c.binomial(n, 0.2) / n, n);
    for trials in [200.0, 1000.0] {
        let ordinary = |c: &mut Chance, _| {
            let n = c.poisson(trials).max(1.0);
            (c.binomial(n, 0.01) / n, n)
        };
        assert_eq!(caught::<Rates>(&p, ordinary, errors), 100, "{trials} requests a window");
    }
    let p = params(Kind::Amount);
    let export = |_: &mut Chance, value: f64, n: f64| (100.0 * value, n);
    let got = caught::<Counts>(&p, |c, _| ((12.0 + 0.5 * c.normal()).exp(), 5.0), export);
    assert_eq!(got, 100, "exports");
}

#[test]
fn the_smallest_attack_that_is_found() {
    const USUAL: [f64; 9] = [0.0, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
    let smallest = |windows: usize, mean: f64| {
        let one = |seed| {
            let mut chance = seeded(seed);
            Entity::of(windows, |_| usual(&mut chance, mean)).smallest()
        };
        median((0..20).map(one).collect())
    };
    let grid = [12, DAY, WEEK].map(|windows| USUAL.map(|mean| smallest(windows, mean)));
    for row in &grid {
        for pair in row.windows(2) {
            assert!(pair[0] <= 1.25 * pair[1], "a quieter past hides no more: {row:?}");
        }
    }
    for (mean, most) in [(0.2, 20.0), (1.0, 25.0), (30.0, 160.0), (100.0, 460.0)] {
        let at = USUAL.iter().position(|usual| *usual == mean).expect("one of them");
        assert!(grid[1][at] <= most, "{mean} after a day: {:?}", grid[1]);
    }
    for (earlier, later) in [(0, 1), (1, 2)] {
        assert!(grid[earlier].iter().zip(&grid[later]).all(|(a, b)| b <= a), "{grid:?}");
    }
}

#[test]
fn nobody_gets_away_by_going_slowly_or_staying_just_below() {
    let p = params(Kind::Count);
    for mean in [0.2, 1.0, 30.0, 300.0] {
        for growth in [1.05f64, 1.12, 1.3] {
            for seed in 0..10 {
                let mut chance = seeded(seed);
                let mut entity = Entity::of(3 * WEEK, |_| usual(&mut chance, mean));
                let mut times = 1.0;
                let opened = std::iter::from_fn(|| {
                    times *= growth;
                    (mean * times < 100.0 * mean.max(1.0)).then(|| usual(&mut chance, mean * times))
                });
                let opened: Vec<f64> = opened.collect();
                assert!(
                    !entity.steps(&p, opened.into_iter().map(both)).is_empty(),
                    "{mean} growing by {growth}, {seed}"
                );
            }
        }
        let mut chance = seeded(20);
        let mut entity = Entity::of(3 * WEEK, |_| usual(&mut chance, mean));
        let windows: Vec<usize> = (0..8)
            .filter(|_| {
                let below = (0.9 * entity.smallest()).floor();
                entity.step(&p, both(below))
            })
            .collect();
        assert_eq!(windows.len(), 1, "{mean}: 0.9 of the bar is found within eight windows");
    }
}

#[test]
fn a_share_that_grows_slowly_or_stays_just_below_is_found() {
    let p = params(Kind::Rate);
    for (n, share) in [(20.0, 0.05), (50.0, 0.05), (50.0, 0.15), (200.0, 0.01)] {
        let (mut chance, mut entity) = (seeded(20), Entity::<Rates>::default());
        let usual = (0..2 * WEEK).map(|_| {
            let n = chance.poisson(n).max(1.0);
            (chance.binomial(n, share) / n, n)
        });
        assert_eq!(entity.steps(&p, usual).len(), 0, "{n} {share}");
        let breach = |hits: f64| {
            let judged = entity.judge(&p, (hits / n, n), Look::Whole);
            judged.is_some_and(|j| j.breach)
        };
        let bar = (1..=n as u32).map(f64::from).find(|hits| breach(*hits)).expect("a bar");
        let below = ((0.95 * bar).floor().min(bar - 1.0) / n, n);
        let windows = entity.steps(&p, [below; 8]);
        assert_eq!(windows.len(), 1, "just below the bar of {share} in {n} is found within eight windows");
    }
    // By 5 % a window, from one in a hundred.
    let (mut chance, mut entity) = (seeded(21), Entity::<Rates>::default());
    entity.steps(&p, (0..2 * WEEK).map(|_| (chance.binomial(100.0, 0.01) / 100.0, 100.0)).collect::<Vec<_>>());
    let grown = |at: usize| 0.01 * 1.05f64.powi(at as i32 + 1);
    let found = (0..96).find(|at| entity.step(&p, (chance.binomial(100.0, grown(*at)) / 100.0, 100.0)));
    assert!(found.is_some_and(|at| grown(at) < 0.07), "{found:?}");
}

#[test]
fn what_always_fails_is_no_news() {
    let p = params(Kind::Rate);
    for events in [12.0, 60.0, 600.0] {
        let mut entity = Entity::<Rates>::default();
        let opened = entity.steps(&p, (0..WEEK).map(|_| (1.0, events)));
        assert!(opened.is_empty(), "{events} events a window: {opened:?}");
    }
}

#[test]
fn gaps_weekends_and_month_ends_are_quiet() {
    let p = params(Kind::Count);
    for (name, shape) in [("steady", (|_| 1.0) as fn(usize) -> f64), ("office", office), ("day", |at| 0.5 * day(at))] {
        for seed in 0..10 {
            let mut chance = seeded(seed);
            let start = 3 * WEEK + 60;
            let before = Entity::of(start, |at| usual(&mut chance, 30.0 * shape(at)));
            let mut alerts = |factor: &dyn Fn(usize) -> f64| {
                let mut entity = before.clone();
                let windows = (0..60).map(|at| usual(&mut chance, 30.0 * shape(start + at) * factor(at)));
                let windows: Vec<f64> = windows.collect();
                entity.steps(&p, windows.into_iter().map(both)).len()
            };
            assert_eq!(alerts(&|at| if at < 12 { 0.0 } else { 1.0 }), 0, "{name}: two hours without anything, {seed}");
            assert_eq!(
                alerts(&|at| if at < 48 { 2.0 } else { 1.0 }),
                0,
                "{name}: twice as much for a day's work, {seed}"
            );
        }
    }
}

#[test]
fn an_episode_is_over_when_things_are_as_before_and_the_next_one_is_found() {
    let p = params(Kind::Count);
    let mut chance = seeded(3);
    let mut entity = Entity::of(WEEK, |_| usual(&mut chance, 20.0));
    // An hour, a quarter of an hour of calm, an hour; both are told and neither is learned.
    let attacked = |at: usize| at < 6 || (8..14).contains(&at);
    let windows: Vec<f64> = (0..40).map(|at| usual(&mut chance, if attacked(at) { 300.0 } else { 20.0 })).collect();
    assert_eq!(entity.steps(&p, windows.into_iter().map(both)), [0, 8]);
    assert!(entity.step(&p, both(300.0)), "the same a third time is told: it is no habit yet");
}

#[test]
fn a_shift_is_one_alert_and_becomes_the_new_level_after_three_days() {
    let p = params(Kind::Count);
    let mut chance = seeded(3);
    let mut entity = Entity::of(WEEK, |_| usual(&mut chance, 20.0));
    let mut open = 0;
    let opened: Vec<usize> = (0..WEEK)
        .filter(|_| {
            let opens = entity.step(&p, both(usual(&mut chance, 200.0)));
            open += u32::from(entity.open);
            opens
        })
        .collect();
    assert_eq!(opened, [0]);
    assert!((ACCEPTED..ACCEPTED + 10).contains(&open), "open for {open} windows");
    let p = params(Kind::Rate);
    let mut entity = Entity::<Rates>::default();
    entity.steps(&p, (0..500).map(|_| (0.01, 200.0)));
    assert_eq!(entity.steps(&p, (0..500).map(|_| (0.3, 200.0))), [0]);
    assert!(!entity.open);
}

#[test]
fn two_requests_are_not_an_error_rate() {
    let (p, mut entity) = (params(Kind::Rate), Entity::<Rates>::default());
    entity.steps(&p, (0..300).map(|_| (0.01, 100.0)));
    let judge = |window| entity.judge(&p, window, Look::Whole).expect("warm");
    let small = judge((0.5, 2.0));
    assert!(!small.breach && small.sigmas > 3.0 && small.tail > 0.01, "{small:?}");
    let large = judge((0.5, 200.0));
    assert!(large.breach && large.tail < 1e-9, "{large:?}");
    assert!((large.expected - 0.01).abs() < 0.001, "{large:?}");
}

#[test]
fn looks_at_a_running_share_cost_what_they_are_worth() {
    let (p, mut entity) = (params(Kind::Rate), Entity::<Rates>::default());
    entity.steps(&p, (0..300).map(|_| (0.01, 100.0)));
    let tail = |look| entity.judge(&p, (0.1, 64.0), look).expect("warm").tail;
    assert_eq!([1, 2, 3].map(|k| (tail(Look::Running(k)) / tail(Look::Whole)).round()), [2.0, 6.0, 12.0]);
    // Of what only grows, early and late decisions agree.
    let (p, mut chance) = (params(Kind::Count), seeded(1));
    let entity = Entity::of(DAY, |_| usual(&mut chance, 30.0));
    for count in 1..400 {
        let judge = |look| entity.judge(&p, both(f64::from(count)), look).expect("an opinion");
        assert_eq!(judge(Look::Running(9)).breach, judge(Look::Whole).breach, "{count}");
    }
}

#[test]
fn the_same_incident_alerts_again_a_day_later() {
    let (p, mut chance, mut entity) = (params(Kind::Rate), seeded(9), Entity::<Rates>::default());
    let opened = (0..1500).filter(|at| {
        let incident = *at >= 600 && (at - 600) % 400 < 6;
        let n = chance.poisson(200.0).max(1.0);
        let value = chance.binomial(n, if incident { 0.2 } else { 0.01 }) / n;
        entity.step(&p, (value, n))
    });
    assert_eq!(opened.collect::<Vec<usize>>(), [600, 1000, 1400]);
}

#[test]
fn those_around_lend_what_a_newcomer_lacks() {
    let (p, mut chance) = (params(Kind::Count), seeded(4));
    let newcomer = Counts::default();
    let judge =
        |pool: &Pool, count: f64| newcomer.judge(&p, pool, at(both(count)), Look::Whole).expect("never without one");
    let unknown = Pool::default();
    assert!(!judge(&unknown, 500.0).breach && judge(&unknown, 3_000.0).breach);
    let mut pool = Pool::default();
    for mean in [5.0, 10.0, 20.0, 40.0] {
        let entity = Entity::of(DAY, |_| usual(&mut chance, mean));
        (0..30).for_each(|_| Counts::lend(&mut pool, &p, &entity.past, Window::default()));
    }
    let judged = judge(&pool, 500.0);
    assert!(judged.breach && (15.0..40.0).contains(&judged.expected), "{judged:?}");
    assert!(!judge(&pool, 60.0).breach);
    let (p, mut parent, newcomer) = (params(Kind::Rate), Rates::default(), Rates::default());
    assert_eq!(
        newcomer.judge(&p, &Rates::default(), at((0.6, 100.0)), Look::Whole),
        None,
        "its first window says what is usual"
    );
    for (usual, alarming) in [(0.02, true), (0.6, false)] {
        let mut young = Entity::<Rates>::default();
        young.step(&p, (usual, 50.0));
        let judged = young.judge(&p, (0.6, 100.0), Look::Whole).expect("an opinion");
        assert_eq!(judged.breach, alarming, "after one window of {usual}: {judged:?}");
    }
    for _ in 0..30 {
        Rates::lend(&mut parent, &p, &newcomer, at((0.02, 50.0)));
    }
    assert!(newcomer.judge(&p, &parent, at((0.6, 50.0)), Look::Whole).expect("lent").breach);
    assert!(!newcomer.judge(&p, &parent, at((0.04, 50.0)), Look::Whole).expect("lent").breach);
}

#[test]
fn quiet_windows_are_zeros_for_counts_alone() {
    let p = params(Kind::Count);
    let mut chance = seeded(2);
    let mut entity = Entity::of(50, |_| usual(&mut chance, 20.0));
    let mut pieces = entity.past.clone();
    let until = |window| When::new(entity.at + window, WINDOW_US);
    entity.past.teach_quiet(&p, &entity.pool, 700, until(699));
    (0..700).for_each(|window| pieces.teach_quiet(&p, &entity.pool, 1, until(window)));
    assert_eq!(entity.past, pieces);
    assert!(entity.judge(&p, both(0.0), Look::Whole).expect("an opinion").expected < 8.0);
    entity.past.teach_quiet(&p, &entity.pool, u64::MAX / 2, When::default());
    assert_eq!(entity.past.windows(), 750 + u64::MAX / 2);
    let mut rates = Rates::default();
    rates.teach_quiet(&params(Kind::Rate), &Rates::default(), 1000, When::default());
    assert_eq!(rates, Rates::default());
}

#[test]
fn the_bar_moves_as_a_person_would_expect() {
    let p = params(Kind::Count);
    for seed in 0..30 {
        let mut chance = seeded(seed);
        let mean = 0.1 * 1.3f64.powi(seed as i32);
        let past: Vec<f64> = (0..DAY).map(|_| usual(&mut chance, mean)).collect();
        let entity = Entity::of(DAY, |at| past[at]);
        let judge = |count: f64| entity.judge(&p, both(count), Look::Whole).expect("an opinion");
        let tails: Vec<f64> = (0..200).map(|step| judge(f64::from(step) * mean.max(1.0) * 0.1).tail).collect();
        assert!(tails.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-9)), "more is never likelier: {tails:?}");
        let bar = entity.smallest();
        let next = |count: f64| {
            let mut next = entity.clone();
            next.step(&p, both(count));
            next.smallest()
        };
        assert!(next(0.0) <= 1.02 * bar, "an empty window never raises it: {bar}, {}", next(0.0));
        let busier = next(entity.past.level() * 1.5);
        assert!(busier * 1.25 >= bar, "a busier window hardly lowers it: {bar}, {busier}");
        let twice = Entity::of(2 * DAY, |at| past[at % DAY]);
        assert!(twice.smallest() <= 1.2 * bar, "the same past again: {bar}, {}", twice.smallest());
    }
}

#[test]
fn less_than_usual_is_seen_where_it_is_asked_for() {
    let p = Params { direction: Direction::Down, min_change: 0.5, ..params(Kind::Count) };
    let (mut chance, mut entity) = (seeded(6), Entity::<Counts>::default());
    let windows: Vec<f64> = (0..WEEK).map(|at| usual(&mut chance, if at >= 900 { 0.0 } else { 40.0 })).collect();
    assert_eq!(entity.steps(&p, windows.into_iter().map(both)), [900]);
}

#[test]
fn a_past_is_small_and_survives_a_snapshot() {
    assert!(std::mem::size_of::<Counts>() <= 160, "{}", std::mem::size_of::<Counts>());
    assert!(std::mem::size_of::<Rates>() <= 136, "{}", std::mem::size_of::<Rates>());
    let p = params(Kind::Count);
    let (mut chance, mut entity) = (seeded(5), Entity::<Counts>::default());
    for at in 0..1000 {
        let value = chance.negative_binomial(30.0, 3.0);
        if at % 100 == 50 {
            let text = serde_json::to_string(&entity.past).expect("plain data");
            let back: Counts = serde_json::from_str(&text).expect("own text");
            assert_eq!(back, entity.past);
            entity.past = back;
        }
        entity.step(&p, both(value));
    }
    assert_eq!(entity.past.windows(), 1000);
    assert_eq!(entity.past.recent().len(), 8);
}

fn odd_values_do_not_spread_in<P: Past + PartialEq + std::fmt::Debug>(kind: Kind) {
    let p = Params { floor: 0.0, direction: Direction::Both, ..params(kind) };
    let mut entity = Entity::<P>::default();
    for value in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1e300, 1e-300, 1.0, 0.5].repeat(20) {
        entity.step(&p, (value, 3.0));
        entity.step(&p, (value, f64::NAN));
        if let Some(judged) = entity.judge(&p, (0.7, 3.0), Look::Whole) {
            assert!(judged.spread.is_finite() && judged.spread > 0.0, "{kind:?} {value}: {judged:?}");
            assert!((0.0..=1.0).contains(&judged.tail), "{kind:?} {value}: {judged:?}");
        }
    }
    assert_eq!(entity.judge(&p, (f64::NAN, 1.0), Look::Whole), None);
}

#[test]
fn odd_values_do_not_spread() {
    odd_values_do_not_spread_in::<Counts>(Kind::Count);
    odd_values_do_not_spread_in::<Counts>(Kind::Amount);
    odd_values_do_not_spread_in::<Rates>(Kind::Rate);
}
