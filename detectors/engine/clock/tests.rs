//! The clock of a lane, alone.

use super::*;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_772_366_400_000_000;

fn lane(lateness_us: i64) -> LaneClock {
    let mut clock = LaneClock::default();
    clock.set_lateness(lateness_us);
    clock
}

/// Rows that arrive when they happened, in batches of `size`.
fn take(clock: &mut LaneClock, times: &[i64], size: usize) -> (Vec<i64>, Vec<bool>) {
    let (mut places, mut late) = (Vec::new(), Vec::new());
    for (batch, times) in times.chunks(size).enumerate() {
        let from = (batch * size) as i64;
        let offsets: Vec<i64> = (from..from + times.len() as i64).collect();
        let placed = clock.take(&Rows { times, observed: times, offsets: &offsets }, i64::MIN);
        places.extend(placed.places.unwrap_or_else(|| times.to_vec()));
        late.extend(placed.late.unwrap_or_else(|| vec![false; times.len()]));
        for moved in placed.moved {
            assert_eq!(places[moved.offset as usize], moved.from);
            places[moved.offset as usize] = moved.to;
        }
    }
    (places, late)
}

/// A row each tenth of a second.
fn tidy(rows: i64) -> Vec<i64> {
    (0..rows).map(|n| START + n * SECOND / 10).collect()
}

#[test]
fn rows_in_order_stand_at_their_times_however_sparse_and_however_they_are_cut() {
    let bursty = (0..2000_i64).map(|n| START + n * SECOND / 100 + n / 100 * 7200 * SECOND).collect();
    let sparse: Vec<i64> = (0..2000).map(|n| START + n * 600 * SECOND).collect();
    for times in [tidy(2000), bursty, sparse] {
        let mut ends = Vec::new();
        for size in [1, 7, 200, 2000] {
            let mut clock = lane(0);
            let (places, late) = take(&mut clock, &times, size);
            assert_eq!((places == times, late.contains(&true), clock.ahead), (true, false, 0), "batches of {size}");
            assert_eq!(clock.end(i64::MIN), []);
            ends.push((clock.clock, clock.watermark, clock.recent, clock.standstill));
        }
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn odd_rows_stand_where_the_others_are_and_move_nothing() {
    let far = 4_083_000_000_000_000; // in 2099
    for odd in [0, 1, 5, 700, 1600] {
        let mut times = tidy(2000);
        times[odd] = far;
        let (mut clock, mut plain) = (lane(2 * SECOND), lane(2 * SECOND));
        let (places, late) = take(&mut clock, &times, 64);
        take(&mut plain, &tidy(2000), 64);
        let wrong = (places[odd] - tidy(2000)[odd]).abs();
        assert!(wrong < 15 * SECOND, "row {odd} stands {wrong} us from where it belongs");
        assert_eq!((clock.ahead, late.contains(&true)), (1, false), "row {odd}");
        assert!((clock.watermark - plain.watermark).abs() <= SECOND / 10);
    }
}

#[test]
fn one_gateway_of_four_that_is_ahead_makes_nobody_late() {
    for ahead in [3, 60, 600] {
        // Which of the four a row comes from is chance.
        let mut draw = 7_u64;
        let mut times = tidy(200_000);
        let mut of_four = 0;
        for time in &mut times {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if draw >> 62 == 0 {
                (*time, of_four) = (*time + ahead * SECOND, of_four + 1);
            }
        }
        let mut clock = lane(2 * SECOND);
        let (places, late) = take(&mut clock, &times, 4096);
        assert_eq!(late.iter().filter(|late| **late).count(), 0, "{ahead} s ahead");
        let last_asked = 200_000 - FOLLOWERS;
        let moved = (0..last_asked).filter(|row| places[*row] != times[*row]).count() as i64;
        assert!(if ahead == 3 { moved == 0 } else { moved > of_four - FOLLOWERS as i64 }, "{moved} of {of_four}");
        let wrong =
            places.iter().zip(tidy(200_000)).take(last_asked).map(|(place, true_time)| (place - true_time).abs()).max();
        assert!(ahead == 3 || wrong < Some(15 * SECOND), "{wrong:?}");
    }
}

#[test]
fn disorder_within_the_lateness_is_neither_late_nor_ahead() {
    let lateness = 120 * SECOND;
    let mut draw = 3_u64;
    let mut rows: Vec<(i64, i64)> = tidy(5000)
        .into_iter()
        .map(|time| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (time + (draw >> 33) as i64 % lateness, time)
        })
        .collect();
    rows.sort_unstable();
    let times: Vec<i64> = rows.into_iter().map(|(_, time)| time).collect();
    let mut clock = lane(lateness);
    let (places, late) = take(&mut clock, &times, 100);
    assert_eq!((places == times, late.contains(&true), clock.ahead), (true, false, 0));
}

#[test]
fn a_backlog_is_late_and_does_not_stop_the_clock() {
    let mut times = tidy(1000);
    for n in 0..5000 {
        times.extend([START - 7200 * SECOND + n * SECOND, START + 100 * SECOND + n * SECOND / 10]);
    }
    let mut clock = lane(2 * SECOND);
    let (places, late) = take(&mut clock, &times, 512);
    assert_eq!(late.iter().filter(|late| **late).count(), 5000);
    assert_eq!(clock.ahead, 0);
    let newest = START + 100 * SECOND + 4999 * SECOND / 10;
    assert!(newest - clock.watermark < 30 * SECOND, "{}", newest - clock.watermark);
    assert!(places.iter().zip(&late).skip(1000).all(|(place, late)| !late || *place >= START + 85 * SECOND));
}

#[test]
fn a_time_far_beyond_its_arrival_stands_at_its_arrival() {
    let mut clock = lane(0);
    let (times, observed) =
        ([START, START + 600 * SECOND, START + 20 * SECOND], [START, START + SECOND, START + SECOND]);
    let placed = clock.take(&Rows { times: &times, observed: &observed, offsets: &[0, 1, 2] }, i64::MIN);
    assert_eq!(placed.places, Some(vec![START, START + SECOND, START + 20 * SECOND]));
    assert_eq!((placed.late, clock.ahead), (None, 1));
}

#[test]
fn a_lane_at_its_end_goes_on_with_time_less_what_its_rows_usually_take() {
    let mut clock = lane(2 * SECOND);
    clock.at_end(START);
    assert_eq!(clock.watermark(), i64::MIN, "nothing is known of it");
    clock.take(&Rows { times: &[START - 60 * SECOND], observed: &[START], offsets: &[0] }, i64::MIN);
    clock.at_end(START);
    assert_eq!(clock.watermark(), START - 62 * SECOND, "as late as the first one");
    let times: Vec<i64> = tidy(300);
    let observed: Vec<i64> = times.iter().map(|time| time + 5 * SECOND).collect();
    let offsets: Vec<i64> = (1..301).collect();
    clock.take(&Rows { times: &times, observed: &observed, offsets: &offsets }, i64::MIN);
    let now = observed[299] + SECOND;
    clock.at_end(now);
    assert_eq!(clock.watermark(), now - 7 * SECOND);
    clock.at_end(now - SECOND);
    assert_eq!(clock.watermark(), now - 7 * SECOND, "never back");
}

#[test]
fn the_last_rows_are_judged_by_those_around_them_when_nothing_follows() {
    let mut times = tidy(500);
    times[480] = START + 3600 * SECOND;
    let mut clock = lane(0);
    take(&mut clock, &times, 50);
    assert_eq!(clock.ahead, 0, "too few rows came after it");
    let moved = clock.end(i64::MIN);
    assert_eq!((moved.len(), moved[0].offset, moved[0].from), (1, 480, times[480]));
    assert!((moved[0].to - tidy(500)[480]).abs() < 5 * SECOND);
}

/// Rows that say what they like of their time, in batches of `size`; where they stand, and the end.
fn told(rows: &[(i64, i64)], size: usize) -> (Vec<i64>, LaneClock) {
    let (mut clock, mut places) = (lane(2 * SECOND), Vec::new());
    for (batch, rows) in rows.chunks(size).enumerate() {
        let from = (batch * size) as i64;
        let offsets: Vec<i64> = (from..from + rows.len() as i64).collect();
        let (times, observed): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let placed = clock.take(&Rows { times: &times, observed: &observed, offsets: &offsets }, i64::MIN);
        places.extend(placed.places.unwrap_or(times));
        for moved in placed.moved {
            places[moved.offset as usize] = moved.to;
        }
    }
    (places, clock)
}

#[test]
fn however_rows_are_cut_it_is_known_for_how_long_the_clock_stands() {
    // Whole seconds, bursts, the same second for long, a clock that is stuck and goes on.
    let coarse = |n: i64| START + n / 300 * SECOND;
    let stuck = |n: i64| if (3_000..6_000).contains(&n) { START + 300 * SECOND } else { START + n * SECOND / 10 };
    let burst = |n: i64| START + n / 1_000 * 600 * SECOND + n % 1_000 / 400 * SECOND;
    let long = |n: i64| START + i64::from(n > 500) * SECOND + i64::from(n > 4_000) * 300 * SECOND;
    for (name, time) in
        [("coarse", &coarse as &dyn Fn(i64) -> i64), ("stuck", &stuck), ("burst", &burst), ("long", &long)]
    {
        let rows: Vec<(i64, i64)> = (0..10_000).map(|n| (time(n), START + n * SECOND / 10)).collect();
        let alone = told(&rows, 1);
        for size in [7, 129, 500, 4_096, 10_000] {
            assert!(told(&rows, size) == alone, "{name} in batches of {size}");
        }
    }
}

#[test]
fn a_clock_that_stands_still_is_left_behind() {
    // Stuck after a minute, for an hour.
    let stuck = START + 60 * SECOND;
    let rows: Vec<(i64, i64)> = (0..36_000).map(|n| START + n * SECOND / 10).map(|us| (us.min(stuck), us)).collect();
    let held_back: i64 = rows
        .chunks(100)
        .scan(lane(2 * SECOND), |clock, rows| {
            let (times, observed): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
            clock
                .take(&Rows { times: &times, observed: &observed, offsets: &(0..100).collect::<Vec<i64>>() }, i64::MIN);
            Some(observed[99] - clock.watermark)
        })
        .skip(4)
        .max()
        .expect("rows");
    assert!((80 * SECOND..120 * SECOND).contains(&held_back), "{held_back} us at worst");
    let (places, clock) = told(&rows, 500);
    assert!(rows[35_999].1 - clock.watermark < 20 * SECOND);
    assert!(places[35_999] > rows[35_999].1 - 20 * SECOND, "what is late stands where the lane is");
    // The clock is set right again.
    let well: Vec<(i64, i64)> = (36_000..37_000).map(|n| START + n * SECOND / 10).map(|us| (us, us)).collect();
    let (places, _) = told(&[rows, well.clone()].concat(), 500);
    assert!(places[36_000..].iter().zip(&well).all(|(place, (time, _))| place == time), "nobody is late");
}

#[test]
fn a_clock_that_stands_still_holds_back_a_bounded_number_of_rows() {
    let rows: Vec<(i64, i64)> = (0..400_000).map(|n| (START, START + n * 100)).collect();
    let (mut clock, mut waiting, mut most) = (lane(120 * SECOND), Vec::new(), 0);
    for rows in rows.chunks(4_096) {
        let (times, observed): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let offsets: Vec<i64> = (0..times.len() as i64).collect();
        let placed = clock.take(&Rows { times: &times, observed: &observed, offsets: &offsets }, i64::MIN);
        waiting.extend(placed.places.unwrap_or(times));
        waiting.retain(|place| *place >= clock.watermark);
        most = most.max(waiting.len());
    }
    assert!((130_000..=136_000).contains(&most), "{most}");
}

#[test]
fn one_wrong_arrival_moves_nothing() {
    let mut rows: Vec<(i64, i64)> = (0..2_000).map(|n| (START + n / 500 * SECOND, START + n * SECOND / 500)).collect();
    let plain = told(&rows, 100).1.watermark;
    rows[1_700].1 = 4_083_000_000_000_000; // in 2099
    assert_eq!(told(&rows, 100).1.watermark, plain);
}

#[test]
fn time_in_which_no_rows_came_is_none_in_which_the_clock_stood() {
    // Whole seconds, fifty rows each; away for two minutes while the log went on, then all of that is read at once.
    let time = |n: i64| START + n / 50 * SECOND;
    let arrives = |n: i64| match n {
        0..1_000 => time(n) + SECOND,
        1_000..7_000 => START + 140 * SECOND,
        _ => time(n) + SECOND,
    };
    let rows: Vec<(i64, i64)> = (0..9_000).map(|n| (time(n), arrives(n))).collect();
    for size in [7, 500, 4_096] {
        let (places, clock) = told(&rows, size);
        assert!(places.iter().zip(&rows).all(|(place, (time, _))| place == time), "nobody is late");
        assert!(clock.watermark <= time(8_999));
    }
    // Nor is it known how long the clock stood before this was saved by an older version.
    let (_, mut clock) = told(&rows, 500);
    clock.standstill = Standstill::default();
    let stuck: Vec<i64> = vec![time(8_999); 20];
    let offsets: Vec<i64> = (9_000..9_020).collect();
    clock.take(&Rows { times: &stuck, observed: &[arrives(9_000); 20], offsets: &offsets }, i64::MIN);
    assert!(clock.watermark <= time(8_999));
}
