//! Hours of the week: an attack at night is found as one, and ordinary weeks stay quiet.

use super::Kind;
use super::past_tests::{DAY, Entity, WEEK, both, day, office, params, usual};
use super::sim::seeded;

/// The smallest count found at these times of a week, after so many days, with and without knowing the time.
fn at_times(windows: usize, times: &[usize], seed: u64, shape: fn(usize) -> f64) -> Vec<(f64, f64)> {
    let mut chance = seeded(seed);
    let before = Entity::of(windows, |at| usual(&mut chance, 100.0 * shape(at)));
    let mut bar = |at: usize| {
        let mut entity = before.clone();
        entity
            .steps(&params(Kind::Count), (windows..windows + at).map(|at| both(usual(&mut chance, 100.0 * shape(at)))));
        let mut timeless = entity.clone();
        timeless.past.forget_hours();
        (entity.smallest(), timeless.smallest())
    };
    times.iter().map(|at| bar(*at)).collect()
}

#[test]
fn an_attack_at_night_is_held_against_the_night() {
    let (three_at_night, eleven, saturday) = (2 * DAY + 18, 2 * DAY + 66, 5 * DAY + 72);
    for seed in 0..5 {
        let bars = at_times(3 * WEEK, &[three_at_night, eleven, saturday], seed, office);
        assert!(bars.iter().all(|(known, timeless)| known <= timeless), "knowing the time hides nothing: {bars:?}");
        assert!(bars[0].0 < 0.3 * bars[0].1 && bars[2].0 < 0.3 * bars[2].1, "{bars:?}");
        assert_eq!(bars[1].0, bars[1].1, "an office hour is an office hour");
        let young = at_times(WEEK + 5 * DAY, &[three_at_night], seed, office);
        assert_eq!(young[0].0, young[0].1, "two weeks are the least");
        assert!(at_times(3 * WEEK, &[three_at_night], seed, |_| 1.0).iter().all(|(known, any)| *known >= 0.95 * any));
    }
}

#[test]
fn weeks_with_nights_batches_and_overtime_are_quiet() {
    let p = params(Kind::Count);
    let batch = |at: usize| if (12..15).contains(&(at % DAY)) { 8.0 } else { 0.2 };
    let late = |at: usize| if (at / DAY) % 7 == 3 { office(at.saturating_sub(12)) } else { office(at) };
    for (name, shape) in [("office", office as fn(usize) -> f64), ("batch", batch), ("overtime", late), ("day", day)] {
        for seed in 0..5 {
            let mut chance = seeded(seed);
            let mut entity = Entity::of(2 * WEEK, |at| usual(&mut chance, 30.0 * shape(at)));
            let weeks: Vec<f64> = (2 * WEEK..6 * WEEK).map(|at| usual(&mut chance, 30.0 * shape(at))).collect();
            assert_eq!(entity.steps(&p, weeks.into_iter().map(both)).len(), 0, "{name} {seed}");
        }
    }
}
