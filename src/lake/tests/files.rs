//! Data files and state files: what is in them, and what damage does.

use proptest::prelude::*;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn days_become_partitions_and_times_prune_files() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    // 16 hours after the start the next day begins: rows 57,600 seconds on.
    let across = events(0, 57_595..57_605, 0);
    let done = lake
        .commit(&Checkpoint { events: vec![across], positions: vec![(lane(0), 57_605)], ..Checkpoint::default() })
        .await
        .unwrap();
    assert_eq!((done.rows, done.files), (10, 2));
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE day = DATE '2026-01-31'").await, 5);
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE day = DATE '2026-02-01'").await, 5);
    let range = "SELECT count(*) FROM events WHERE time >= TIMESTAMP '2026-02-01T00:00:02Z'";
    assert_eq!(folder.number(range).await, 3);
    let plan = folder.text(&format!("EXPLAIN {range}")).await;
    assert!(plan.contains("day=2026-02-01") && !plan.contains("day=2026-01-31"), "{plan}");
    let adds: Vec<serde_json::Value> =
        std::fs::read_to_string(folder.folder.path().join(format!("lake/events/_delta_log/{:020}.json", done.version)))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|action: &serde_json::Value| action.get("add").is_some())
            .collect();
    let stats: serde_json::Value = serde_json::from_str(adds[0]["add"]["stats"].as_str().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 5);
    assert_eq!(stats["minValues"]["time"], "2026-01-31T23:59:55.000000Z");
    assert_eq!(stats["maxValues"]["time"], "2026-01-31T23:59:59.000000Z");
    assert_eq!(stats["maxValues"]["offset"], 57_599);
    assert_eq!(stats["minValues"]["source"], "kong");
    assert_eq!(stats["nullCount"]["status"], 0);
}

fn sample_state() -> State {
    State {
        instance: "a".to_string(),
        checkpoint: 3,
        positions: vec![(lane(0), 5), (Lane::new("envoy", 2), 9)],
        snapshot: (0..=255).collect(),
        alerts: Some(rows::alerts(&[alert("x", 0), alert("x", 1)]).unwrap()),
        rejects: None,
        lane_states: vec![(lane(0), b"fields and words".as_slice().into()), (Lane::new("envoy", 2), [].into())],
    }
}

#[test]
fn a_state_file_is_read_as_it_was_written() {
    let file = sample_state().encode().unwrap();
    assert_eq!(State::decode(&file.bytes, file.digest).unwrap(), sample_state());
    // As earlier versions wrote it: without the states of lanes.
    let early = State { lane_states: Vec::new(), ..sample_state() };
    let file = early.encode().unwrap();
    assert_eq!(State::decode(&file.bytes, file.digest).unwrap(), early);
    assert_eq!(State::decode(&file.bytes, file.digest ^ 1), Err("it is not the file that was committed".to_string()));
    assert_eq!(state::number("000000000003-00ff.checkpoint"), Some(3));
    assert_eq!(state::number("notes.txt"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_to_a_state_file_goes_unnoticed(position in any::<prop::sample::Index>(), bit in 0..8, cut in any::<bool>()) {
        let file = sample_state().encode().unwrap();
        let mut bytes = file.bytes.clone();
        let at = position.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1u8 << bit;
        }
        prop_assert!(State::decode(&bytes, file.digest).is_err());
    }

    #[test]
    fn every_row_lands_in_the_file_of_its_day(seconds in prop::collection::vec(0i64..400_000, 1..200), target in 1u64..5_000) {
        let batches: Vec<RecordBatch> = seconds.chunks(7).map(|part| {
            let offsets: Vec<RecordBatch> = part.iter().map(|s| events(0, *s..*s + 1, 0)).collect();
            arrow::compute::concat_batches(&arrow_schema(), &offsets).unwrap()
        }).collect();
        let files = encode::encode(Table::Events, &batches, "t", target).unwrap();
        let mut read: Vec<i64> = Vec::new();
        for file in files {
            let day = file.path.strip_prefix("day=").unwrap().split('/').next().unwrap().to_string();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
            for batch in reader.build().unwrap() {
                let batch = encode::align(Table::Events, &batch.unwrap()).unwrap();
                let offsets = batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().clone();
                for offset in offsets.values() {
                    let time = chrono::DateTime::from_timestamp_micros(START_US + offset * 1_000_000).unwrap();
                    prop_assert_eq!(time.date_naive().to_string(), day.clone());
                    read.push(*offset);
                }
                prop_assert_eq!(offsets.null_count(), 0);
            }
        }
        let mut expected = seconds.clone();
        expected.sort();
        read.sort();
        prop_assert_eq!(read, expected);
    }
}
