//! Retention, compaction, vacuum and new columns, beside a writer.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn retention_takes_out_whole_days() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for day in 0..4 {
        let events = vec![events(0, day * 10..day * 10 + 10, day)];
        lake.commit(&Checkpoint { events, positions: vec![(lane(0), day * 10 + 10)], ..Checkpoint::default() })
            .await
            .unwrap();
    }
    let retain = RetainDays { events: Some(2), ..RetainDays::default() };
    let policy = Maintenance { retain, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 4).unwrap();
    let report = lake.maintain(&policy, today).await.unwrap();
    assert_eq!(report.tables[0], TableReport { table: "events", expired: 2, ..TableReport::default() });
    assert_eq!(folder.number("SELECT min(\"offset\") FROM events").await, 20);
    // The writer steps over it.
    lake.commit(&checkpoint(40, 50)).await.unwrap();
    assert_eq!(folder.count("events").await, 30);
    assert_eq!(lake.maintain(&policy, today).await.unwrap().tables[0].expired, 1, "the rows just added are old, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_every_row_and_vacuum_removes_the_rest() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..5 {
        lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
    }
    let policy = Maintenance { compact_after_files: 3, vacuum_after: Duration::ZERO, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 1).unwrap();
    let report = lake.maintain(&policy, today).await.unwrap();
    assert_eq!((report.tables[0].merged, report.tables[0].written, report.tables[0].vacuumed), (5, 1, 5));
    assert_eq!((report.tables[1].table, report.tables[1].merged), ("alerts", 5));
    assert_eq!((folder.count("events").await, folder.events().await), (50, 50));
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE source = 'kong' AND status = 201").await, 25);
    assert_eq!(folder.number("SELECT count(*) FROM alerts WHERE owasp[1] = 'API9:2023'").await, 5);
    lake.commit(&checkpoint(50, 60)).await.unwrap();
    drop(lake);
    assert_eq!(folder.open("a").await.1.unwrap().positions, [(lane(0), 60)]);
    assert_eq!(folder.count("events").await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_and_appends_race_without_loss() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..8 {
        lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
    }
    let policy = Maintenance { compact_after_files: 1, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 1).unwrap();
    let appends = async {
        for n in 8..24 {
            lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
        }
    };
    let rounds = || async {
        let mut merged = 0;
        for _ in 0..4 {
            merged += maintain(&folder.config, &policy, today).await.unwrap().tables[0].merged;
        }
        merged
    };
    let ((), one, other) = tokio::join!(appends, rounds(), rounds());
    assert!(one + other >= 8, "{one} and {other} files were merged");
    assert_eq!((folder.count("events").await, folder.events().await), (240, 240));
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (24, 24));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slower_of_two_rewrites_gives_up() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let root = root_url(&folder.config.uri).unwrap();
    let place = place(&folder.config, &root, Table::Events);
    let mut slow = TableLog::open_to_rewrite(place.clone()).await.unwrap();
    let removes = |log: &TableLog| -> Change {
        let state = log.opened().snapshot().unwrap();
        let actions = state.log_data().iter().map(|file| Action::Remove(file.remove_action(true))).collect();
        Change { operation: Change::append(), actions, sets: vec![], expects: vec![] }
    };
    let late = removes(&slow);
    let mut fast = TableLog::open_to_rewrite(place).await.unwrap();
    fast.commit(&removes(&fast)).await.unwrap();
    assert!(matches!(slow.commit(&late).await, Err(LakeError::Replaced { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_gets_the_new_columns() {
    let folder = Folder::new();
    let root = root_url(&folder.config.uri).unwrap();
    let all = Table::Rejects.schema();
    let place = place(&folder.config, &root, Table::Rejects);
    let older: Vec<_> = all.fields().iter().filter(|f| f.name() != "sealed").map(|f| f.as_ref().clone()).collect();
    log::create_with(&place, older).await.unwrap();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!(folder.number("SELECT count(*) FROM rejects WHERE sealed IS NOT NULL").await, 1);
}
