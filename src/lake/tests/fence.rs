//! Writers that compete: for lanes, for a name, for a row number.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_of_the_same_lane_fences_the_first() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    let (mut second, _) = folder.open("b").await;
    assert_eq!(second.refresh_positions(&[lane(0)]).await.unwrap(), [(lane(0), Some(10))]);
    second.commit(&checkpoint(10, 20)).await.unwrap();

    let refused = first.commit(&checkpoint(10, 15)).await.unwrap_err();
    assert!(
        matches!(&refused, LakeError::Fenced { marker, found: 20, .. } if marker == "gatewatch/kong/0"),
        "{refused}"
    );
    assert!(!refused.is_retryable());
    assert_eq!((folder.count("events").await, folder.events().await), (20, 20));
    assert_eq!(folder.count("alerts").await, 2);
    // It goes on after it has looked where the lane stands.
    let (mut first, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().positions, [(lane(0), 20)]);
    first.commit(&checkpoint(20, 30)).await.unwrap();
    assert_eq!((folder.count("events").await, folder.events().await), (30, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_name_fence_each_other() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("a").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    // Its lanes differ, yet its name is taken; and its state file must not replace the one of the first.
    let other = Checkpoint { positions: vec![(lane(1), 5)], events: vec![events(1, 0..5, 0)], ..checkpoint(0, 5) };
    let refused = second.commit(&other).await.unwrap_err();
    assert!(matches!(&refused, LakeError::Fenced { marker, .. } if marker == "gatewatch/instance/a"), "{refused}");
    drop((first, second));
    let (_, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().snapshot, b"engine at 10");
    assert_eq!((folder.count("events").await, folder.count("alerts").await), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_never_looked_cannot_count_a_lane_twice() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("b").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    let refused = second.commit(&checkpoint(0, 10)).await.unwrap_err();
    assert!(matches!(refused, LakeError::Fenced { found: 10, .. }), "{refused}");
    assert_eq!(folder.count("events").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_with_their_own_lanes_do_not_disturb_each_other() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("b").await;
    for n in 0..6 {
        first.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
        let part = Checkpoint {
            events: vec![events(1, n * 10..n * 10 + 10, 0)],
            positions: vec![(lane(1), n * 10 + 10)],
            ..Checkpoint::default()
        };
        second.commit(&part).await.unwrap();
    }
    assert_eq!((folder.count("events").await, folder.events().await), (120, 120));
    // Lane 1 goes to the first copy, which has never seen it.
    assert_eq!(first.refresh_positions(&[lane(1)]).await.unwrap(), [(lane(1), Some(60))]);
    let both = Checkpoint {
        events: vec![events(1, 60..70, 0)],
        positions: vec![(lane(0), 60), (lane(1), 70)],
        ..Checkpoint::default()
    };
    first.commit(&both).await.unwrap();
    let late =
        Checkpoint { positions: vec![(lane(1), 65)], events: vec![events(1, 60..65, 0)], ..Checkpoint::default() };
    assert!(matches!(second.commit(&late).await, Err(LakeError::Fenced { found: 70, .. })));
    assert_eq!((folder.count("events").await, folder.events().await), (130, 130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_never_goes_back() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let refused = lake.commit(&checkpoint(4, 8)).await.unwrap_err();
    assert!(matches!(refused, LakeError::Backwards { held: 10, asked: 8, .. }), "{refused}");
    let repeated = lake.commit(&checkpoint(0, 10)).await.unwrap_err();
    assert!(matches!(repeated, LakeError::Rows { .. }), "{repeated}");
    assert_eq!(folder.count("events").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_outlive_checkpoints_of_the_log() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let (mut idle, _) = folder.open("idle").await;
    idle.commit(&Checkpoint { positions: vec![(lane(9), 3)], ..Checkpoint::default() }).await.unwrap();
    for n in 0..120 {
        lake.commit(&Checkpoint { positions: vec![(lane(0), n + 1)], ..Checkpoint::default() }).await.unwrap();
    }
    drop(lake);
    let log = folder.folder.path().join("lake/events/_delta_log");
    assert!(log.join("00000000000000000100.checkpoint.parquet").exists());
    // Entries before the checkpoint are gone, as after a month.
    for version in 0..100 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let (mut lake, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().positions, [(lane(0), 120)]);
    assert_eq!(lake.refresh_positions(&[lane(9)]).await.unwrap(), [(lane(9), Some(3))]);
    // A writer that slept through all of it notices.
    let slept = Checkpoint { positions: vec![(lane(0), 1)], ..Checkpoint::default() };
    assert!(matches!(idle.commit(&slept).await, Err(LakeError::Fenced { found: 120, .. })));
    idle.commit(&Checkpoint { positions: vec![(lane(9), 4)], ..Checkpoint::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn action_rows_are_stored_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    assert_eq!(lake.actions_marker(), None);
    assert_eq!(lake.append_actions(&[action(1), action(2)], 2).await.unwrap(), 2);
    assert_eq!(lake.append_actions(&[action(1), action(2), action(3)], 3).await.unwrap(), 1);
    assert_eq!(lake.append_actions(&[action(2), action(3)], 3).await.unwrap(), 0);
    drop(lake);
    let (mut lake, _) = folder.open("a").await;
    assert_eq!(lake.actions_marker(), Some(3));
    // A second handle appends beside it; the first notices.
    let mut beside = ActionLog::open(&folder.config, "a").await.unwrap();
    assert_eq!(beside.append(&[action(4)], 4).await.unwrap(), 1);
    assert_eq!(lake.append_actions(&[action(3), action(4), action(5)], 5).await.unwrap(), 1);
    assert!(matches!(lake.append_actions(&[action(9)], 8).await, Err(LakeError::Rows { .. })));
    assert_eq!(folder.count("actions").await, 5);
    assert_eq!(folder.number("SELECT sum(seq) FROM actions WHERE dry_run AND step = 'planned'").await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_could_mislead_are_refused() {
    let folder = Folder::new();
    for name in ["", "7", "a/b", "..", ".a", "a b", &"a".repeat(65)] {
        let refused = Lake::open(&folder.config, name).await.err().unwrap();
        assert!(matches!(refused, LakeError::Config(_)), "{name}: {refused}");
    }
}

#[test]
fn the_lake_can_be_driven_from_another_thread() {
    fn sendable<T: Send>(_: &T) {}
    let folder = Folder::new();
    let opening = Lake::open(&folder.config, "a");
    sendable(&opening);
    let (policy, today) = (Maintenance::default(), NaiveDate::MIN);
    sendable(&maintain(&folder.config, &policy, today));
    sendable(&async {
        let (mut lake, _) = Lake::open(&folder.config, "a").await.unwrap();
        lake.commit(&Checkpoint::default()).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_the_name_of_another_one_is_refused() {
    let folder = Folder::new();
    let pin = |id: &str, fingerprint| KeyPin { kind: "token", id: id.to_string(), fingerprint };
    let (mut first, _) = folder.open("a").await;
    let pinned = first.pin_keys(&[pin("k1", 11)]).await.unwrap();
    assert_eq!((pinned.known.len(), pinned.new, pinned.others), (0, vec![pin("k1", 11)], false));
    let (mut second, _) = folder.open("b").await;
    let refused = second.pin_keys(&[pin("k1", 12)]).await.unwrap_err();
    assert!(matches!(&refused, LakeError::KeyDiffers { id, .. } if id == "k1") && !refused.is_retryable(), "{refused}");
    let rotated = second.pin_keys(&[pin("k2", 22), pin("k1", 11)]).await.unwrap();
    assert_eq!((rotated.known, rotated.new, rotated.others), (vec![pin("k1", 11)], vec![pin("k2", 22)], false));
    // Both look again, although each has read the log before.
    assert_eq!(first.pin_keys(&[pin("k2", 22)]).await.unwrap().known, [pin("k2", 22)]);
    assert!(first.pin_keys(&[pin("k3", 33)]).await.unwrap().others);
    // And the lake is written as before.
    second.refresh_positions(&[lane(0)]).await.unwrap();
    second.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!((folder.count("events").await, folder.events().await), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_markers_at_once_are_those_that_are_asked_for_one_by_one() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let mut next = [0; 3];
    for round in 0..9 {
        let lanes: &[i32] = if round < 5 { &[0, 1] } else { &[1, 2] };
        let positions = lanes.iter().map(|partition| (lane(*partition), next[*partition as usize] + 5)).collect();
        let rows = lanes
            .iter()
            .map(|partition| events(*partition, next[*partition as usize]..next[*partition as usize] + 5, 0));
        let checkpoint = Checkpoint { positions, events: rows.collect(), ..checkpoint(0, 5) };
        lake.commit(&checkpoint).await.unwrap();
        lanes.iter().for_each(|partition| next[*partition as usize] += 5);
        if [3, 6].contains(&round) {
            lake.events.checkpoint_log().await.unwrap();
        }
        let place = place(&folder.config, &root_url(&folder.config.uri).unwrap(), Table::Events);
        let opened = place.load().await.unwrap();
        let (store, version) = (opened.log_store(), opened.version().unwrap());
        let all = markers::at(&store, version).await.expect("it is a log of ours");
        let names =
            ["gatewatch/kong/0", "gatewatch/kong/1", "gatewatch/kong/2", "gatewatch/instance/a", "gatewatch/nobody"];
        for name in names {
            let one = opened.snapshot().unwrap().transaction_version(store.as_ref(), name).await.unwrap();
            assert_eq!(all.get(name).copied(), one, "{name} in round {round}");
        }
        let kept = next.map(|next| (next > 0).then_some(next));
        assert_eq!([0, 1, 2].map(|n| all.get(&format!("gatewatch/kong/{n}")).copied()), kept);
    }
}
