//! Travels through the engine: what is a hop, what excuses one, who learns what, late rows, and settings that cannot be.

use std::sync::Arc;

use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

use crate::engine::parse_rfc3339;
use crate::testkit::batch_of;
use crate::{Engine, EngineLimits, parse_rule};

const MINUTE: i64 = 60_000_000;
const DAY: f64 = 24.0 * 60.0;
const START: i64 = 1_772_323_200_000_000;

/// When nothing was told.
const NEVER: [f64; 0] = [];

/// A place, and the network there.
type At = (&'static str, f32, f32, i64);
const BERLIN: At = ("DE", 52.52, 13.405, 64500);
const BERLIN_PHONE: At = ("DE", 52.52, 13.405, 64501);
const POTSDAM: At = ("DE", 52.39, 13.06, 64502);
const MUNICH: At = ("DE", 48.137, 11.575, 64503);
const NEW_YORK: At = ("US", 40.7128, -74.006, 64510);
const SYDNEY: At = ("AU", -33.8688, 151.2093, 64520);
/// The network of home, in another part of the world.
const FAR_HOME: At = ("US", 37.0, -122.0, 64500);

fn yaml(entity: &str, method: &str) -> String {
    format!("id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: {entity}\nquiet: 1h\nmethod: {{ travel: {method} }}\n")
}

/// A row so many minutes after the start.
fn row(minute: f64, principal: &str, at: At) -> Value {
    let (country, lat, lon, asn) = at;
    let time = START + (minute * MINUTE as f64) as i64;
    json!({ "time": time, "principal": principal, "country": country, "lat": lat, "lon": lon, "asn": asn })
}

fn rows(principal: &str, seen: &[(f64, At)]) -> Vec<Value> {
    seen.iter().map(|(minute, at)| row(*minute, principal, *at)).collect()
}

fn engine(entity: &str, method: &str) -> Engine {
    let rule = parse_rule(&yaml(entity, method), "a.yaml").unwrap();
    let mut engine = Engine::new(vec![Arc::new(rule)], EngineLimits::default()).unwrap();
    engine.open(&Lane::new("s", 0), 0);
    engine
}

fn alerts(engine: &mut Engine, mut rows: Vec<Value>) -> Vec<Alert> {
    rows.iter_mut().zip(0..).for_each(|(row, offset)| row["offset"] = Value::from(offset));
    engine.push(&Lane::new("s", 0), batch_of(&rows).unwrap()).unwrap();
    engine.finish().unwrap()
}

/// When alerts opened, as (minute, of whom).
fn opened_of(entity: &str, method: &str, mut rows: Vec<Value>) -> Vec<(f64, String)> {
    rows.sort_by_key(|row| row["time"].as_i64());
    let opened = alerts(&mut engine(entity, method), rows).into_iter().filter(|alert| alert.state == State::Open);
    opened.map(|alert| (minute(&alert.opened), alert.entity.value)).collect()
}

fn minute(text: &str) -> f64 {
    (parse_rfc3339(text).unwrap() - START) as f64 / MINUTE as f64
}

fn opened(method: &str, seen: &[(f64, At)]) -> Vec<f64> {
    opened_of("principal", method, rows("ines", seen)).into_iter().map(|(minute, _)| minute).collect()
}

#[test]
fn both_places_are_told_once_each_was_seen_twice() {
    let seen = [(0.0, BERLIN), (10.0, BERLIN), (30.0, NEW_YORK), (31.0, NEW_YORK), (32.0, NEW_YORK)];
    let alerts = alerts(&mut engine("principal", "{ learn: 0s }"), rows("ines", &seen));
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((minute(&alert.opened), minute(&alert.window.start), minute(&alert.window.end)), (31.0, 10.0, 31.0));
    assert_eq!((alert.observed, alert.threshold, alert.events), (6385.0, 500.0, 3));
    let places = json!({
        "from": {"time": "2026-03-01T00:10:00.000000Z", "lat": 52.52, "lon": 13.4, "country": "DE", "asn": 64500},
        "to": {"time": "2026-03-01T00:30:00.000000Z", "lat": 40.71, "lon": -74.01, "country": "US", "asn": 64510},
        "km": 6385.0, "seconds": 1200,
    });
    assert_eq!(alert.evidence["places"], places);
    assert_eq!(alert.evidence["counted"], 2);
}

#[test]
fn who_can_have_travelled_has() {
    let home = [(0.0, BERLIN), (1.0, BERLIN)];
    let then = |at: At, minute: f64| [home.as_slice(), &[(minute, at), (minute + 1.0, at)]].concat();
    // 6,385 km are 6 hours and 23 minutes at 1,000 km/h.
    assert_eq!(opened("{ learn: 0s }", &then(NEW_YORK, 384.0)).len(), 1);
    assert_eq!(opened("{ learn: 0s }", &then(NEW_YORK, 386.0)).len(), 0);
    assert_eq!(opened("{ learn: 0s, speed_kmh: 500 }", &then(NEW_YORK, 386.0)).len(), 1);
    // Munich is 504 km away, Potsdam 27.
    assert_eq!(opened("{ learn: 0s }", &then(MUNICH, 2.0)).len(), 1);
    assert_eq!(opened("{ learn: 0s, distance_km: 505 }", &then(MUNICH, 2.0)).len(), 0);
    assert_eq!(opened("{ learn: 0s, distance_km: 100 }", &then(POTSDAM, 2.0)).len(), 0);
    // By the shortest time there was, though it is shown later.
    let slow = [home.as_slice(), &[(381.0, NEW_YORK), (500.0, NEW_YORK)]].concat();
    assert_eq!(opened("{ learn: 0s }", &slow), [500.0]);
}

#[test]
fn one_row_with_a_wrong_location_is_no_hop() {
    let around = |times: usize| {
        let mut seen: Vec<(f64, At)> = (0..20).map(|n| (f64::from(n), BERLIN)).collect();
        seen.splice(10..10, (0..times).map(|n| (9.2 + n as f64 / 10.0, SYDNEY)));
        opened("{ learn: 0s }", &seen).len()
    };
    assert_eq!([around(1), around(2)], [0, 1]);
    // Where it comes first, and the second place is the true one.
    assert_eq!(opened("{ learn: 0s }", &[(0.0, SYDNEY), (1.0, BERLIN), (2.0, BERLIN), (3.0, BERLIN)]), NEVER);
    // In three places in turn, one of them seen once: the other two are.
    let three = [(0.0, BERLIN), (1.0, BERLIN), (2.0, SYDNEY), (3.0, NEW_YORK), (4.0, NEW_YORK)];
    assert_eq!(opened("{ learn: 0s }", &three), [4.0]);
}

#[test]
fn within_one_network_and_without_a_location_or_a_network_nobody_hops() {
    assert_eq!(opened("{ learn: 0s }", &[(0.0, BERLIN), (1.0, BERLIN), (2.0, FAR_HOME), (3.0, FAR_HOME)]), NEVER);
    let hop = [(0.0, BERLIN), (1.0, BERLIN), (2.0, NEW_YORK), (3.0, NEW_YORK)];
    for column in ["lat", "lon", "asn"] {
        let mut rows = rows("ines", &hop);
        rows.iter_mut().for_each(|row| row[column] = Value::Null);
        assert_eq!(opened_of("principal", "{ learn: 0s }", rows), [], "without {column}");
    }
    assert_eq!(opened("{ learn: 0s, network: country }", &hop).len(), 1);
}

#[test]
fn what_somebody_used_in_the_first_days_or_for_long_is_their_own() {
    let hop = |day: f64| {
        let minute = day * DAY;
        [(minute, BERLIN), (minute + 1.0, BERLIN), (minute + 2.0, NEW_YORK), (minute + 3.0, NEW_YORK)]
    };
    // Learned on the first day; nothing is told then.
    assert_eq!(opened("{}", &[hop(0.0), hop(3.0)].concat()), NEVER);
    // A third network later on is news.
    let third = [(3.0 * DAY, SYDNEY), (3.0 * DAY + 1.0, SYDNEY)];
    let all = [hop(0.0).as_slice(), &hop(2.99), &third].concat();
    assert_eq!(opened("{}", &all), [3.0 * DAY + 1.0]);
    // The same, used without a hop since the day before yesterday, or for a week.
    let used_since = |day: f64| {
        let used = [(day * DAY, SYDNEY), ((day + 1.0) * DAY, SYDNEY)];
        let home = [(0.0, BERLIN), (20.0 * DAY, BERLIN), (20.0 * DAY + 1.0, BERLIN)];
        let then = [(20.0 * DAY + 2.0, SYDNEY), (20.0 * DAY + 3.0, SYDNEY)];
        let mut seen = [used.as_slice(), &home, &then].concat();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        opened("{}", &seen).len()
    };
    assert_eq!([used_since(18.0), used_since(12.0)], [1, 0]);
}

#[test]
fn a_network_is_told_once_and_goes_on_while_the_alert_is_open() {
    let on = |day: f64| {
        (0..6).flat_map(move |n| {
            [(n, BERLIN), (n, BERLIN), (n, NEW_YORK), (n, NEW_YORK)]
                .map(move |(n, at)| (day * DAY + f64::from(n) * 20.0, at))
        })
    };
    let mut seen = vec![(0.0, BERLIN)];
    seen.extend([2.0, 3.0, 4.0].into_iter().flat_map(on));
    let rows: Vec<Value> = rows("ines", &seen);
    let alerts = alerts(&mut engine("principal", "{}"), rows);
    let told: Vec<(State, f64)> = alerts.iter().map(|alert| (alert.state, minute(&alert.updated))).collect();
    // It opens with the first hop, and is over an hour after the last of that day.
    assert_eq!(told, [(State::Open, 2.0 * DAY), (State::Closed, 2.0 * DAY + 160.0)]);
}

/// On the third day so many people, known for long, hop to a network in which others are at home; who is told.
fn hop_to(others: usize, hopping: usize) -> usize {
    let mut all = Vec::new();
    let name = |kind: &str, n: usize| format!("{kind}{n}");
    for n in 0..hopping {
        let then = 3.0 * DAY + n as f64 * 10.0;
        let seen =
            [(0.0, BERLIN), (then, BERLIN), (then + 1.0, BERLIN), (then + 2.0, NEW_YORK), (then + 3.0, NEW_YORK)];
        all.extend(rows(&name("guest", n), &seen));
    }
    for n in 0..others {
        all.extend(rows(&name("home", n), &[(0.0, NEW_YORK), (2.0 * DAY, NEW_YORK)]));
    }
    opened_of("principal", "{}", all).len()
}

#[test]
fn an_exit_that_many_hop_to_is_shared_and_a_network_where_many_are_at_home_is_not() {
    assert_eq!(hop_to(0, 4), 4);
    assert_eq!(hop_to(0, 9), 5);
    assert_eq!(hop_to(10, 9), 5);
    assert_eq!(hop_to(100, 9), 9);
}

#[test]
fn exits_are_known_by_what_happens_while_people_are_learned() {
    let mut all = Vec::new();
    for n in 0..5 {
        let seen = [(0.0, BERLIN), (1.0, BERLIN), (2.0, NEW_YORK), (3.0, NEW_YORK)];
        all.extend(rows(&format!("early{n}"), &seen));
    }
    let then = 3.0 * DAY;
    all.extend(rows(
        "ines",
        &[(0.0, BERLIN), (then, BERLIN), (then + 1.0, BERLIN), (then + 2.0, NEW_YORK), (then + 3.0, NEW_YORK)],
    ));
    all.extend(rows(
        "otto",
        &[(0.0, BERLIN), (then, BERLIN), (then + 1.0, BERLIN), (then + 2.0, SYDNEY), (then + 3.0, SYDNEY)],
    ));
    assert_eq!(opened_of("principal", "{}", all), [(then + 3.0, "otto".into())]);
}

#[test]
fn of_a_credential_the_habits_are_those_of_its_principal() {
    let day = |day: f64, to: At, token: &str| {
        let minute = day * DAY;
        let seen = [(minute, BERLIN), (minute + 1.0, BERLIN), (minute + 2.0, to), (minute + 3.0, to)];
        let mut rows = rows("ines", &seen);
        rows.iter_mut().for_each(|row| row["credential"] = token.into());
        rows
    };
    // Another session every day, through the same far exit; then one through another.
    let days = [day(0.0, NEW_YORK, "k1:a"), day(3.0, NEW_YORK, "k1:b"), day(4.0, SYDNEY, "k1:c")].concat();
    assert_eq!(opened_of("credential", "{}", days.clone()), [(4.0 * DAY + 3.0, "k1:c".into())]);
    // Two sessions, each at its place.
    let mut apart = day(4.0, BERLIN_PHONE, "k1:d");
    apart.extend(day(4.0, SYDNEY, "k1:e").split_off(2));
    assert_eq!(opened_of("credential", "{}", [day(0.0, BERLIN, "k1:a"), apart].concat()), []);
    // Nobody known behind it: it has only itself.
    let nameless = days.into_iter().map(|mut row| {
        row["principal"] = Value::Null;
        row
    });
    assert_eq!(opened_of("credential", "{ learn: 0s }", nameless.collect()).len(), 3);
}

#[test]
fn a_late_row_counts_unless_something_later_has_come() {
    let others = || (0..300).map(|n| row(600.0 + f64::from(n) / 100.0, "tom", BERLIN));
    let hop = [(0.0, BERLIN), (1.0, BERLIN), (2.0, NEW_YORK), (3.0, NEW_YORK)];
    let all: Vec<Value> = others().chain(rows("ines", &hop)).collect();
    assert_eq!(alerts(&mut engine("principal", "{ learn: 0s }"), all).len(), 1);
    let mut engine = engine("principal", "{ learn: 0s }");
    let all = [row(600.0, "ines", BERLIN)].into_iter().chain(others()).chain(rows("ines", &hop)).collect();
    assert_eq!(alerts(&mut engine, all).len(), 0);
    assert_eq!(engine.stats().detectors[0].too_late, 4);
}

#[test]
fn sites_and_people_are_bounded_and_forgotten() {
    let mut engine = engine("principal", "{ forget: 8d }");
    let mut all: Vec<Value> =
        (0..40).map(|n| row(f64::from(n), "ines", ("DE", 10.0 + n as f32, 20.0, 64600 + i64::from(n)))).collect();
    all.push(row(30.0 * DAY, "tom", BERLIN));
    alerts(&mut engine, all);
    let stats = &engine.stats().detectors[0];
    assert_eq!((stats.entities, stats.open, stats.opened), (1, 0, 0));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let error = |entity: &str, method: &str| parse_rule(&yaml(entity, method), "a.yaml").unwrap_err().to_string();
    let cases = [
        ("principal", "{ speed_kmh: 1 }", "method.travel.speed_kmh: expected a number from 10 to 100000, found 1"),
        (
            "principal",
            "{ distance_km: 50 }",
            "method.travel.distance_km: expected a number from 100 to 20000, found 50",
        ),
        ("principal", "{ sightings: 0 }", "method.travel.sightings: expected a whole number from 1 to 1000, found 0"),
        ("principal", "{ network: tenant }", "method.travel.network: expected asn, as_org or country; found `tenant`"),
        ("principal", "{ forget: 2d }", "method.travel.forget: expected longer than `learn` and `settle`"),
        ("principal", "{ within: 2d }", "method.travel.within: unknown key; expected one of speed_kmh, distance_km,"),
        (
            "client_ip",
            "{ learn: 1d }",
            "method.travel: expected an entity with principal or credential: of others nobody is at one place; the entity is client_ip",
        ),
    ];
    for (entity, method, expected) in cases {
        let found = error(entity, method);
        assert!(found.starts_with("a.yaml:7:") && found.contains(expected), "{method}\n{found}");
    }
}
