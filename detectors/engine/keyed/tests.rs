//! Who goes when places run out.

use super::*;
use crate::engine::episode::Episodes;
use crate::engine::evidence::{Evidence, Name};
use crate::engine::testing;
use crate::rule::EntityKind;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen(u64);

fn suspect() -> Option<Box<Suspect>> {
    Some(Box::new(Suspect {
        name: Name::default(),
        evidence: Evidence::new(true, &EntityKind::client()),
        episode: None,
    }))
}

fn key(n: u64) -> EntityKey {
    (u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).max(2)
}

/// As a detector does it.
fn enter(keyed: &mut Keyed<Seen>, n: u64, place: i64, worth: u64) -> (&mut Slot<Seen>, Vec<Gone>) {
    let hit = Hit { key: key(n), place, ..Hit::default() };
    let full = keyed.is_full_for(Spot::UNKNOWN, &hit);
    let gone = if full { keyed.make_room(|seen| seen.0) } else { Vec::new() };
    (keyed.enter_at(Spot::UNKNOWN, hit, || Seen(worth)), gone)
}

#[test]
fn a_million_newcomers_do_not_evict_who_looks_bad_or_has_earned_a_place() {
    let mut keyed = Keyed::<Seen>::new(1000);
    enter(&mut keyed, 1, 0, 0).0.suspect = suspect();
    enter(&mut keyed, 2, 0, 9);
    for n in 10..1_000_010 {
        let (_, gone) = enter(&mut keyed, n, n as i64, 0);
        assert!(gone.is_empty() && keyed.len() <= 1000, "{n}");
    }
    assert!(keyed.len() > 1000 - 1000 / FREED && keyed.evicted >= 1_000_000 - 1000, "{}", keyed.evicted);
    assert!(keyed.peek(key(1)).is_some() && keyed.peek(key(2)).is_some());
    let kept = |n: u64| keyed.peek(key(n)).is_some();
    assert!((1_000_010 - 500..1_000_010).all(kept), "the newest stay");
    assert!((10..1_000_010 - 1000).all(|n| !kept(n)), "the oldest go");
}

#[test]
fn what_is_kept_for_its_past_holds_half_of_the_places() {
    let mut keyed = Keyed::<Seen>::new(1000);
    (0..1000).for_each(|n| _ = enter(&mut keyed, n, 0, 1000 + n));
    for n in 1000..9000 {
        enter(&mut keyed, n, n as i64, 0);
    }
    let (earned, others): (Vec<&Slot<Seen>>, Vec<&Slot<Seen>>) =
        keyed.sorted().into_iter().partition(|slot| slot.state.0 > 0);
    assert!((375..=500).contains(&earned.len()), "{}", earned.len());
    assert!(others.len() >= 375, "{}", others.len());
    let least = earned.iter().map(|slot| slot.state.0).min();
    assert!(least >= Some(1500), "of least worth are those that went first: {least:?}");
}

#[test]
fn open_alerts_stay_until_they_hold_three_quarters_and_then_the_longest_quiet_goes() {
    let mut episodes = Episodes::new(testing::rule(), 10_000);
    let mut keyed = Keyed::<Seen>::new(100);
    let mut out = Vec::new();
    let mut closed = 0;
    for n in 0..100 {
        let (slot, _) = enter(&mut keyed, n, n as i64, 0);
        let mut suspect = episodes.suspect(Name::default());
        testing::breach(&mut episodes, slot.key, &mut suspect, n as i64, &mut out);
        slot.suspect = Some(suspect);
    }
    for n in 1000..2000 {
        let (_, gone) = enter(&mut keyed, n, n as i64, 0);
        closed += gone.len();
        episodes.make_room(gone, n as i64, &mut out);
    }
    assert_eq!((closed, episodes.open()), (25, 75));
    assert!((0..25).all(|n| keyed.peek(key(n)).is_none()) && (25..100).all(|n| keyed.peek(key(n)).is_some()));
    let told: Vec<_> = out.iter().map(|telling| telling.alert.state).collect();
    assert_eq!(told.iter().filter(|state| **state == schemas::alert::State::Closed).count(), 25);
    assert_eq!(out.last().map(|telling| telling.alert.evidence["closed"].clone()), Some("to make room".into()));
}

#[test]
fn a_table_of_any_size_takes_every_newcomer() {
    for bound in 1..20 {
        let mut keyed = Keyed::<Seen>::new(bound);
        for n in 0..200 {
            enter(&mut keyed, n, n as i64, n % 3).0.suspect = suspect();
            assert!(keyed.len() <= bound && keyed.peek(key(n)).is_some(), "{bound} places, {n}");
        }
    }
}

#[test]
fn an_entity_under_a_new_key_keeps_its_slot_over_a_second_rotation_and_a_restore() {
    let hit = |now, before| Hit { key: key(now), earlier: if before == 0 { 0 } else { key(before) }, ..Hit::default() };
    let mut keyed = Keyed::<Seen>::new(3);
    keyed.enter_at(Spot::UNKNOWN, hit(1, 0), || Seen(7));
    assert_eq!(keyed.enter_at(Spot::UNKNOWN, hit(2, 1), || Seen(0)).state, Seen(7));
    assert_eq!(keyed.enter_at(Spot::UNKNOWN, hit(3, 2), || Seen(0)).state, Seen(7));
    let mut bytes = Vec::new();
    keyed.save(&mut bytes).unwrap();
    let mut restored = Keyed::<Seen>::new(3);
    restored.load(binary::read(&bytes).unwrap());
    for name in [1, 2, 3] {
        assert_eq!(restored.peek(key(name)).map(|slot| slot.state.clone()), Some(Seen(7)), "{name}");
    }
    assert_eq!(restored.len(), 1);
    restored.sweep(|_| Keep::No);
    assert!(restored.is_empty() && restored.renamed.is_empty() && restored.peek(key(3)).is_none());
    // The new key is not that of a stranger who has come by it before.
    restored.enter(key(5), 0, || Seen(5));
    restored.enter(key(4), 0, || Seen(4));
    assert_eq!(restored.enter_at(Spot::UNKNOWN, hit(5, 4), || Seen(0)).state, Seen(5));
}

#[test]
fn the_layout_leaves_no_trace() {
    let build = |order: &[u64]| {
        let mut keyed = Keyed::<Seen>::new(6);
        for n in order {
            enter(&mut keyed, *n, 0, *n);
        }
        keyed.sweep(|slot| if slot.key == key(4) { Keep::No } else { Keep::Yes });
        (10..13).for_each(|n| _ = enter(&mut keyed, n, 1, 5));
        let mut bytes = Vec::new();
        keyed.save(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(build(&[1, 2, 3, 4, 5]), build(&[5, 4, 3, 2, 1]));
}
