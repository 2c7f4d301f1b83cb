//! A checkpoint cut short at each step, and what opening the lake makes of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lake_has_nothing_to_recover() {
    let folder = Folder::new();
    let (lake, recovered) = folder.open("a").await;
    assert_eq!(recovered, None);
    assert_eq!(lake.checkpoint(), 0);
    assert_eq!(lake.next_offset(&lane(0)), None);
    assert_eq!(folder.count("events").await, 0);
    assert_eq!(folder.count("alerts_latest").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_recovered_as_it_was() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let first = lake.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!((first.checkpoint, first.rows, first.files), (1, 10, 1));
    let second = lake.commit(&checkpoint(10, 25)).await.unwrap();
    assert_eq!((second.checkpoint, second.rows), (2, 15));
    assert_eq!(lake.next_offset(&lane(0)), Some(25));
    drop(lake);

    let (lake, recovered) = folder.open("a").await;
    let expected = Recovered {
        checkpoint: 2,
        positions: vec![(lane(0), 25)],
        snapshot: b"engine at 25".to_vec(),
        lane_states: vec![(lane(0), b"lane at 25".as_slice().into())],
    };
    assert_eq!(recovered, Some(expected));
    assert_eq!(lake.next_offset(&lane(0)), Some(25));
    assert_eq!(folder.count("events").await, 25);
    assert_eq!(folder.events().await, 25);
    assert_eq!(folder.count("alerts").await, 2);
    assert_eq!(folder.count("rejects").await, 2);
    assert_eq!(folder.number("SELECT sum(\"offset\") FROM events").await, (0..25).sum::<i64>());
    let sealed = "SELECT count(*) FROM rejects WHERE sealed = X'010203' AND code = 'invalid_json' AND length = 90";
    assert_eq!(folder.number(sealed).await, 2);
    let told = "SELECT count(*) FROM alerts WHERE opened = TIMESTAMP '2026-01-31T08:00:05.25Z' AND owasp[1] = 'API9:2023' \
                AND cardinality(attack) = 0 AND expected IS NULL AND severity = 'high' AND state = 'open'";
    assert_eq!(folder.number(told).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lanes_know_is_read_beside_a_writer_as_long_as_no_other_moved_them() {
    let folder = Folder::new();
    assert!(stored_lane_states(&folder.config).await.unwrap().is_empty());
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    lake.commit(&checkpoint(10, 25)).await.unwrap();
    let known = |states: HashMap<Lane, Arc<[u8]>>| states.get(&lane(0)).map(|state| state.to_vec());
    let states = stored_lane_states(&folder.config).await.unwrap();
    assert_eq!(known(states), Some(b"lane at 25".to_vec()));

    let (mut other, _) = folder.open("b").await;
    other.refresh_positions(&[lane(0)]).await.unwrap();
    other.commit(&Checkpoint { lane_states: Vec::new(), ..checkpoint(25, 30) }).await.unwrap();
    assert_eq!(known(stored_lane_states(&folder.config).await.unwrap()), None);
    lake.refresh_positions(&[lane(0)]).await.unwrap();
    lake.commit(&checkpoint(30, 40)).await.unwrap();
    assert_eq!(known(stored_lane_states(&folder.config).await.unwrap()), Some(b"lane at 40".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_two_state_files_are_kept() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..5 {
        lake.commit(&checkpoint(n, n + 1)).await.unwrap();
    }
    let numbers = |files: Vec<PathBuf>| -> Vec<i64> {
        files.iter().map(|f| state::number(f.file_name().unwrap().to_str().unwrap()).unwrap()).collect()
    };
    assert_eq!(numbers(folder.state_files("a")), [4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_commit_leaves_the_checkpoint_before() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    // Data and state are stored, the commit never happens.
    lake.prepare(&checkpoint(10, 20)).await.unwrap();
    drop(lake);

    let (mut lake, recovered) = folder.open("a").await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.checkpoint, recovered.snapshot.as_slice()), (1, b"engine at 10".as_slice()));
    assert_eq!(folder.count("events").await, 10);
    // The next run cuts the batches differently.
    lake.commit(&checkpoint(10, 17)).await.unwrap();
    drop(lake);
    let (_, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().snapshot, b"engine at 17");
    assert_eq!((folder.count("events").await, folder.events().await), (17, 17));
    assert_eq!(folder.number("SELECT count(*) FROM alerts WHERE id = 'a20'").await, 0);
    assert_eq!(folder.count("alerts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_commit_still_tells_the_alerts_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let prepared = lake.prepare(&checkpoint(10, 20)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    drop(lake);
    assert_eq!((folder.count("events").await, folder.count("alerts").await, folder.count("rejects").await), (20, 1, 1));

    for _ in 0..2 {
        let (_, recovered) = folder.open("a").await;
        assert_eq!(recovered.unwrap().checkpoint, 2);
        assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_alerts_and_rejects_tells_each_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let prepared = lake.prepare(&checkpoint(0, 10)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    let rows = lake.unfinished.as_ref().unwrap().alerts.clone().unwrap();
    append::append_once(&mut lake.alerts, &folder.config, &instance_id("a"), 1, &rows).await.unwrap();
    drop(lake);
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (1, 0));
    folder.open("a").await;
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_checkpoint_is_finished_before_the_next() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let prepared = lake.prepare(&checkpoint(0, 10)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    lake.commit(&checkpoint(10, 20)).await.unwrap();
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_events_moves_the_positions() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let only_rejects = Checkpoint { events: vec![], ..checkpoint(0, 7) };
    let done = lake.commit(&only_rejects).await.unwrap();
    assert_eq!((done.rows, done.files), (0, 0));
    lake.commit(&Checkpoint { snapshot: b"idle".to_vec(), ..Checkpoint::default() }).await.unwrap();
    drop(lake);
    let (lake, recovered) = folder.open("a").await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.checkpoint, recovered.snapshot.as_slice()), (2, b"idle".as_slice()));
    assert_eq!(recovered.positions, [(lane(0), 7)]);
    assert_eq!(lake.next_offset(&lane(0)), Some(7));
    assert_eq!((folder.count("events").await, folder.count("rejects").await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_state_file_costs_detection_its_past_and_no_event() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    drop(lake);
    let file = folder.state_files("a").pop().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let empty = Recovered { checkpoint: 1, positions: vec![], snapshot: vec![], lane_states: vec![] };
    for content in [Some(damaged), Some(Vec::new()), None] {
        match &content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let (mut lake, recovered) = folder.open("a").await;
        assert_eq!(recovered.unwrap(), empty);
        // The log knows where the lane stands, and the next checkpoint is the next one.
        let at = lake.refresh_positions(&[lane(0)]).await.unwrap();
        assert_eq!(at, [(lane(0), Some(10))]);
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(folder.open("a").await.1.unwrap().positions, [(lane(0), 10)]);
    std::fs::remove_file(&file).unwrap();
    let (mut lake, _) = folder.open("a").await;
    lake.refresh_positions(&[lane(0)]).await.unwrap();
    assert_eq!(lake.commit(&checkpoint(10, 20)).await.unwrap().checkpoint, 2);
    assert_eq!(folder.events().await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_to_tell_does_not_undo_the_checkpoint() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    // A file where the folder of the alerts' data should be.
    let blocked = folder.folder.path().join("lake/alerts/day=2026-01-31");
    std::fs::write(&blocked, "").unwrap();
    let done = lake.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!((done.checkpoint, done.told), (1, false));
    // Until the alerts are told nothing else is committed, and repeating that is safe.
    for _ in 0..2 {
        assert!(lake.commit(&checkpoint(10, 20)).await.is_err());
    }
    std::fs::remove_file(&blocked).unwrap();
    assert!(lake.commit(&checkpoint(10, 20)).await.unwrap().told);
    assert_eq!((folder.count("events").await, folder.events().await), (20, 20));
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (2, 2));
}
