//! How fast records become events: varied Kong records, made in memory from a seed, or the lines of a file, normalised in
//! batches.
//!
//! `cargo run -p schemas --example normalise_speed [records]`, or `... normalise_speed FILE KIND [MAPPING]`. CPU time is that
//! of the process (user and system), read from the kernel; the crate and what it uses must be built with optimisation.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::fmt::Write;

use schemas::sources::Mapping;
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig};

/// A small generator (SplitMix64): the same records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "shop-ios/7.4 (iPhone; iOS 17.5)",
    "Go-http-client/2.0",
];

/// One record, about 750 bytes: the fields Kong writes, identifiers drawn anew, a few escapes and sensitive values.
fn record(random: &mut Random, i: u64, line: &mut String) {
    line.clear();
    let (id, object, user) = (random.next(), random.below(50_000), random.below(5_000));
    let query = match random.below(10) {
        0 => format!("?page={}&token=fake{:x}", random.below(50), random.next()),
        1 => "?q=blue%20shoes&sort=price".to_string(),
        2..=5 => format!("?expand=items&page={}", random.below(50)),
        _ => String::new(),
    };
    let path = match random.below(4) {
        0 => format!("/v1/orders/{object}"),
        1 => format!("/v1/customers/{:08x}-0000-4000-8000-{:012x}/addresses", object, object * 7),
        2 => "/v1/products".to_string(),
        _ => format!("/v2/carts/{object}/items/{}", random.below(9)),
    };
    let status = random.of(&[200, 200, 200, 200, 200, 201, 304, 401, 404, 500]);
    write!(
        line,
        r#"{{"request":{{"id":"{id:016x}{:016x}","method":"{}","uri":"{path}{query}","url":"https://api.shop.example:443{path}","size":{},"headers":{{"host":"api.shop.example","user-agent":"{}","accept":"application/json","authorization":"Bearer fake-opaque-{user:08x}","x-forwarded-for":"203.0.113.{}","content-type":"application/json"}}}},"response":{{"status":{status},"size":{},"headers":{{"content-type":"application/json","via":"kong/3.7.0"}}}},"latencies":{{"request":{},"kong":2,"proxy":{}}},"client_ip":"198.51.100.{}","started_at":{},"service":{{"name":"orders"}},"route":{{"name":"orders-v1"}},"consumer":{{"username":"user-{user}"}},"workspace":"default"}}"#,
        random.next(),
        random.of(&["GET", "GET", "GET", "POST", "PUT"]),
        random.below(4000),
        random.of(&AGENTS),
        random.below(256),
        random.below(90_000),
        random.below(400),
        random.below(380),
        random.below(256),
        1_790_000_000_000u64 + i,
    )
    .expect("writing to a string succeeds");
}

/// CPU seconds of this process so far, in the kernel's ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Batches of records as the program reads them.
#[derive(Default)]
struct Input {
    batches: Vec<RawBatch>,
    batch: RawBatch,
    records: u64,
    bytes: u64,
}

impl Input {
    fn push(&mut self, line: &[u8]) {
        self.batch.push(self.records as i64, 1_790_000_000_000_000, line);
        self.records += 1;
        self.bytes += line.len() as u64;
        if self.batch.len() == 8192 {
            self.batches.push(std::mem::take(&mut self.batch));
        }
    }

    fn made(records: u64) -> Input {
        let (mut input, mut random, mut line) = (Input::default(), Random(7), String::new());
        for i in 0..records {
            record(&mut random, i, &mut line);
            input.push(line.as_bytes());
        }
        input
    }

    fn of_file(path: &str) -> Input {
        let mut input = Input::default();
        std::fs::read(path).unwrap().split(|&b| b == b'\n').filter(|line| !line.is_empty()).for_each(|l| input.push(l));
        input
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut input, kind) = match arguments.get(1) {
        Some(kind) => (Input::of_file(&arguments[0]), kind.as_str()),
        None => (Input::made(arguments.first().and_then(|n| n.parse().ok()).unwrap_or(200_000)), "kong"),
    };
    let mut config = SourceConfig::new(kind);
    if let Some(path) = arguments.get(2) {
        config.mapping = Some(Mapping::parse(&std::fs::read_to_string(path).unwrap(), path).unwrap());
    }
    input.batches.push(std::mem::take(&mut input.batch));
    let Input { batches, records, bytes, .. } = input;
    let lane = Lane::new("bench", 0);
    let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).unwrap();
    for pass in 0..5 {
        let (cpu, wall) = (cpu_seconds(), std::time::Instant::now());
        let events: usize = batches.iter().map(|b| normaliser.normalise(&lane, b).events.num_rows()).sum();
        let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
        println!(
            "pass {pass}: {events} events of {} bytes, {:.0} events per CPU second, {:.0} MB per CPU second, {wall:.2} s wall",
            bytes / records,
            events as f64 / cpu,
            bytes as f64 / cpu / 1e6,
        );
    }
}
