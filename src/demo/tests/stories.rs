//! Each story of the plan, counted from the lines: the attack is there, and its look-alikes are what they claim.

use super::*;

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

fn between(lines: &[Line], start_us: i64, end_us: i64) -> impl Iterator<Item = &Line> {
    lines.iter().filter(move |line| (start_us..=end_us).contains(&line.at_us))
}

fn of<'a>(lines: &'a [Line], address: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.address == address).collect()
}

/// The most distinct values that `what` gives for one `who` within `span_us`, for the greatest such who.
fn most_distinct(
    lines: &[Line],
    span_us: i64,
    who: impl Fn(&Line) -> Option<String>,
    what: impl Fn(&Line) -> Option<String>,
) -> (usize, String) {
    let mut by_who: HashMap<String, Vec<(i64, String)>> = HashMap::new();
    for line in lines {
        if let (Some(who), Some(what)) = (who(line), what(line)) {
            by_who.entry(who).or_default().push((line.at_us, what));
        }
    }
    let most = |seen: &[(i64, String)]| {
        let within = |i: usize| seen[i..].iter().take_while(move |(at, _)| at - seen[i].0 < span_us);
        (0..seen.len()).map(|i| within(i).map(|(_, what)| what).collect::<HashSet<_>>().len()).max().unwrap_or(0)
    };
    by_who.into_iter().map(|(who, seen)| (most(&seen), who)).max().unwrap_or_default()
}

fn not(address: &'static str) -> impl Fn(&Line) -> Option<String> {
    move |line| (line.address != address).then(|| line.address.clone())
}

#[test]
fn the_plan_counts_its_lines() {
    let (plan, lines) = read(&small());
    assert_eq!((plan.planted.len(), plan.look_alikes.len()), (8, 12));
    for planted in &plan.planted {
        assert!(planted.start_us < planted.end_us && planted.end_us < plan.end_us, "{}", planted.id);
        assert!(planted.start_us > plan.start_us + 2 * (plan.end_us - plan.start_us) / 3 - HOUR_US, "{}", planted.id);
        let addresses: Vec<&str> =
            planted.entities.iter().filter(|e| e.kind == "client_ip").map(|e| e.value.as_str()).collect();
        if !addresses.is_empty() {
            let there = between(&lines, planted.start_us, planted.end_us);
            let there = there.filter(|line| addresses.contains(&line.address.as_str())).count();
            assert_eq!(there as u64, planted.events, "{}", planted.id);
        }
    }
    for look_alike in &plan.look_alikes {
        assert!(plan.attack(look_alike.resembles).is_some(), "{}", look_alike.id);
        let address = look_alike.entities.iter().find(|e| e.kind == "client_ip").unwrap();
        let there = between(&lines, look_alike.start_us, look_alike.end_us);
        let there = there.filter(|line| line.address == address.value).count();
        assert_eq!(there as u64, look_alike.events, "{}", look_alike.id);
    }
}

#[test]
fn attacks_are_whole_at_any_size() {
    let sizes = [EVENTS_MIN, 200_000].map(|events| {
        let traffic = Traffic::new(&TrafficConfig { events, ..TrafficConfig::default() }).unwrap();
        traffic.plan().planted.iter().map(|planted| (planted.id, planted.events)).collect::<Vec<_>>()
    });
    assert_eq!(sizes[0], sizes[1]);
    assert_eq!(sizes[0].iter().map(|(_, events)| events).sum::<u64>(), 1_167);
}

#[test]
fn one_client_walks_more_than_a_hundred_endpoints_in_a_minute() {
    let (plan, lines) = default_traffic();
    let sweep = plan.attack("endpoint-sweep").unwrap();
    let endpoints: HashSet<String> = between(lines, sweep.start_us, sweep.end_us)
        .filter(|l| l.address == "203.0.113.77")
        .map(Line::endpoint)
        .collect();
    assert!(sweep.end_us - sweep.start_us < MINUTE_US && endpoints.len() >= 140, "{}", endpoints.len());
    let (others, who) = most_distinct(lines, MINUTE_US, not("203.0.113.77"), |line| Some(line.endpoint()));
    assert!((35..70).contains(&others), "{who} has {others}");
    let crawled: HashSet<String> = of(lines, "192.0.2.14").into_iter().map(Line::endpoint).collect();
    assert_eq!(crawled.len(), 150);
    assert!(of(lines, "192.0.2.33").iter().map(|line| &line.principal).collect::<HashSet<_>>().len() >= 30);
}

#[test]
fn probing_asks_for_25_missing_paths() {
    let (plan, lines) = default_traffic();
    let probing = plan.attack("path-probing").unwrap();
    let missing = |line: &Line| (line.status == 404).then(|| line.path.clone());
    let paths: HashSet<String> = of(lines, "203.0.113.19").into_iter().filter_map(missing).collect();
    assert_eq!((paths.len() as u64, probing.events), (25, 25));
    assert!(probing.end_us - probing.start_us < 2 * MINUTE_US);
    let scanner = |line: &Line| (!line.address.starts_with("203.0.113.")).then(|| line.address.clone());
    let (others, who) = most_distinct(lines, 2 * MINUTE_US, scanner, missing);
    assert!(others < 8, "{who} has {others}");
    let display: Vec<&Line> = of(lines, "192.0.2.71").into_iter().filter(|line| line.status == 404).collect();
    assert_eq!((display.len(), display.iter().map(|line| &line.path).collect::<HashSet<_>>().len()), (500, 3));
}

#[test]
fn the_token_burst_comes_from_a_new_address_and_the_expired_key_from_a_known_one() {
    let (plan, lines) = default_traffic();
    let refused = |line: &Line| (line.status == 401).then(|| line.at_us.to_string());
    let burst = of(lines, "203.0.113.140");
    assert_eq!(burst.iter().filter(|line| line.status == 401 && line.principal.is_none()).count(), 60);
    assert_eq!(burst[0].at_us, plan.attack("token-burst").unwrap().start_us);
    let expired = plan.look_alike("expired-key").unwrap();
    let known = of(lines, "192.0.2.90");
    assert!(expired.start_us - known[0].at_us > 3 * HOUR_US);
    assert_eq!(known.iter().filter(|line| line.status == 401).count(), 80);
    let others = |line: &Line| {
        let story = line.address.starts_with("203.0.113.") || line.address.starts_with("192.0.2.");
        (!story).then(|| line.address.clone())
    };
    let (most, who) = most_distinct(lines, 5 * MINUTE_US, others, refused);
    assert!(most <= 5, "{who} has {most}");
}

#[test]
fn brute_force_is_spread_thin_and_a_typo_is_not_one() {
    let (_, lines) = default_traffic();
    let tried: Vec<&Line> = lines.iter().filter(|l| l.principal.as_deref() == Some("grace.hollis")).collect();
    assert!(tried.iter().all(|line| line.status == 401 && line.path == "/v1/auth/login"));
    assert!(tried.last().unwrap().at_us - tried[0].at_us < 6 * MINUTE_US);
    let mut by_address = HashMap::new();
    tried.iter().for_each(|line| *by_address.entry(&line.address).or_insert(0) += 1);
    assert_eq!((tried.len(), by_address.len(), by_address.values().max()), (180, 6, Some(&30)));
    let user: Vec<u64> = of(lines, "192.0.2.118").iter().map(|line| line.status).collect();
    assert_eq!(user[..6], [401, 401, 401, 401, 200, 200]);
    let refused = |line: &Line| (line.status == 401).then(|| line.at_us.to_string());
    let others = |line: &Line| line.principal.clone().filter(|name| name != "grace.hollis");
    let (most, who) = most_distinct(lines, 10 * MINUTE_US, others, refused);
    assert!(most <= 6, "{who} has {most}");
}

#[test]
fn the_export_is_sixty_times_the_habit() {
    let (plan, lines) = default_traffic();
    let attack = plan.attack("bulk-export").unwrap();
    let downloads: Vec<&Line> =
        of(lines, "198.51.100.61").into_iter().filter(|line| line.path.ends_with("/download")).collect();
    let rate = |from: i64, to: i64| {
        let there: Vec<&&Line> = downloads.iter().filter(|line| (from..to).contains(&line.at_us)).collect();
        let minutes = (to - from) as f64 / MINUTE_US as f64;
        (there.len() as f64 / minutes, there.iter().map(|line| line.bytes).sum::<u64>() as f64 / minutes)
    };
    let habit = rate(attack.start_us - 12 * HOUR_US, attack.start_us);
    let during = rate(attack.start_us, attack.start_us + 12 * MINUTE_US);
    let (calls, bytes) = (during.0 / habit.0, during.1 / habit.1);
    assert!((55.0..65.0).contains(&calls) && (45.0..75.0).contains(&bytes), "{calls} times calls, {bytes} bytes");
    let mut windows: HashMap<i64, u64> = HashMap::new();
    let job = of(lines, "192.0.2.150");
    job.iter().for_each(|line| *windows.entry(line.at_us / (5 * MINUTE_US)).or_default() += line.bytes);
    let (least, most) = (windows.values().min().unwrap(), windows.values().max().unwrap());
    assert_eq!(windows.len(), 120);
    assert!(most < &(4 * least), "the nightly job moves {least} to {most} bytes");
}

#[test]
fn the_spike_is_twenty_times_the_habit() {
    let (plan, lines) = default_traffic();
    let attack = plan.attack("traffic-spike").unwrap();
    let worker = of(lines, "198.51.100.44");
    let before = worker.iter().filter(|line| line.at_us < attack.start_us).count() as f64 / 480.0;
    let during = attack.events as f64 / 10.0;
    assert!((19.0..21.0).contains(&(during / before)), "{before} to {during} a minute");
    let runs: HashMap<i64, usize> = of(lines, "192.0.2.180").iter().fold(HashMap::new(), |mut runs, line| {
        *runs.entry(line.at_us / HOUR_US).or_default() += 1;
        runs
    });
    assert_eq!(runs.len(), 30);
    assert!(runs.values().all(|n| *n == 80), "{runs:?}");
    let shop = of(lines, "192.0.2.61");
    let hour = |h: i64| shop.iter().filter(|l| (l.at_us - plan.start_us) / HOUR_US == h).count();
    assert!(hour(10) > 5 * hour(3), "{} at ten, {} at three", hour(10), hour(3));
}

#[test]
fn a_quarter_of_one_endpoint_fails() {
    for events in [EVENTS_MIN, 200_000] {
        let (plan, lines) = read(&TrafficConfig { events, ..TrafficConfig::default() });
        let attack = plan.attack("server-errors").unwrap();
        let share = |from, to| {
            let calls: Vec<&Line> =
                between(&lines, from, to).filter(|line| line.endpoint() == "GET /v1/orders").collect();
            (calls.iter().filter(|line| line.status >= 500).count() as f64 / calls.len() as f64, calls.len())
        };
        let (during, calls) = share(attack.start_us, attack.end_us);
        assert!((0.2..0.32).contains(&during) && calls >= 160, "{during} of {calls}");
        let (before, _) = share(plan.start_us, attack.start_us);
        assert!(before < 0.01, "{before}");
        let rare: Vec<u64> = of(&lines, "192.0.2.77").iter().map(|line| line.status).collect();
        assert_eq!((rare.len(), rare[rare.len() - 2..].to_vec()), (12, vec![500, 200]));
    }
}

#[test]
fn the_loader_is_refused_and_the_poller_always_was() {
    let (plan, lines) = default_traffic();
    let attack = plan.attack("client-errors").unwrap();
    let share =
        |lines: &[&Line]| lines.iter().filter(|line| line.status / 100 == 4).count() as f64 / lines.len() as f64;
    let loader = of(lines, "198.51.100.83");
    let (before, rest): (Vec<&Line>, Vec<&Line>) = loader.into_iter().partition(|l| l.at_us < attack.start_us);
    let during: Vec<&Line> = rest.into_iter().filter(|l| l.at_us <= attack.end_us).collect();
    assert!((0.015..0.025).contains(&share(&before)), "{}", share(&before));
    assert!((0.84..0.88).contains(&share(&during)), "{}", share(&during));
    let poller = of(lines, "192.0.2.49");
    for part in poller.chunks(200) {
        assert!((0.58..0.62).contains(&share(part)), "{}", share(part));
    }
}
