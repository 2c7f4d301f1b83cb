//! Promise: a copy of the service that shares a topic with others says what its detectors cannot see.

mod common;

use std::path::PathBuf;

use common::http::{get, until};
use common::kafka::Broker;
use common::program::{file, folder};
use common::service::Service;
use tempfile::TempDir;

/// A service with a data folder of its own in the group of this topic.
fn copy(instance: &str, folder: &TempDir, broker: &Broker, topic: &str) -> PathBuf {
    let (data, brokers) = (folder.path().join("data"), broker.brokers());
    let text = format!(
        "data_dir: {}\ninstance: {instance}\nsources:\n  - {{ name: edge, kind: combined, kafka: {{ brokers: \"{brokers}\", topic: {topic}, group: {topic}, \
         idle_after: 200ms }} }}\n",
        data.display()
    );
    file(folder, "gatewatch.yaml", text)
}

#[test]
fn a_copy_that_reads_a_part_of_a_topic_says_what_that_means() {
    let broker = Broker::shared();
    let topic = broker.topic(2);
    let folders = [folder(), folder()];
    let configs = [copy("one", &folders[0], &broker, &topic), copy("two", &folders[1], &broker, &topic)];
    let mut first = Service::start(&configs[0]);
    let alone = "gatewatch_topic_partitions{source=\"edge\"} 2";
    until(first.address(), "/metrics", |answer| {
        answer.body.contains(alone) && answer.body.contains("gatewatch_partitions{source=\"edge\"} 2")
    });
    let mut second = Service::start(&configs[1]);
    for copy in [&mut first, &mut second] {
        copy.line_with(&["warning=\"shared\"", "about=\"edge\"", "this copy reads 1 of the 2 partitions"], 90);
        let status = get(copy.address(), "/status").json();
        let source = &status["sources"][0];
        assert_eq!((&source["partitions"], &source["topic_partitions"]), (&1.into(), &2.into()));
    }
    // The group keeps the place of a copy that is away for a while (static membership), so nobody waits for its end here.
}

#[test]
fn two_copies_of_one_name_are_told_what_to_change() {
    let broker = Broker::shared();
    let topic = broker.topic(2);
    let folders = [folder(), folder()];
    let mut first = Service::start(&copy("same", &folders[0], &broker, &topic));
    until(first.address(), "/metrics", |answer| answer.body.contains("gatewatch_partitions{source=\"edge\"} 2"));
    let _second = Service::start(&copy("same", &folders[1], &broker, &topic));
    first.line_with(&["this source fails and is tried again", "give each copy its own `instance`"], 60);
}
