//! The class of a client by its user agent: scanner, monitor, bot, library or browser.
//!
//! Promises: a plain table, first matching class wins, in that order. It is what the client says of itself: it sorts
//! the honest ones, it proves nothing.
//! Never: a reason to block.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// Classes in order of precedence, and words (lower case) of which one makes a user agent one of the class.
#[rustfmt::skip]
static WORDS: &[(&str, &[&str])] = &[
    ("scanner", &["sqlmap", "nikto", "nuclei", "nmap", "masscan", "zgrab", "gobuster", "dirbuster", "ffuf", "wpscan",
        "acunetix", "nessus", "openvas", "qualys", "burp", "hydra", "w3af", "arachni", "wfuzz", "feroxbuster", "dirb",
        "havij", "zmeu", "morfeus", "jorgee", "whatweb", "netsparker", "invicti", "appscan", "webinspect", "zaproxy",
        "owasp", "metasploit", "commix", "xsstrike", "dalfox", "jaeles", "joomscan", "skipfish", "vega/", "fimap",
        "detectify", "tenable", "rapid7", "censys", "shodan", "expanse", "leakix", "internet-measurement", "l9explore",
        "l9tcpid", "fuzz faster", "dirsearch", "httpx - ", "katana", "subfinder", "zgrab2", "grabber", "paros"]),
    ("monitor", &["pingdom", "uptimerobot", "kube-probe", "elb-healthchecker", "googlehc", "google-cloud-scheduler",
        "datadog", "prometheus", "statuscake", "site24x7", "consul health check", "check_http", "nagios", "zabbix",
        "newrelic", "new relic", "uptime-kuma", "uptime/", "better uptime", "betterstack", "haproxy-healthcheck",
        "blackbox", "health-check", "healthcheck", "health check", "monitis", "monitoring", "checkly", "hetrixtools",
        "freshping", "nodeping", "synthetics", "gatling", "grafana", "route 53", "amazon-route53", "updown.io",
        "ohdear", "catchpoint", "dynatrace", "icinga", "sensu"]),
    ("bot", &["bot/", "bot ", "bot;", "bot)", "-bot", "robot", "googlebot", "bingbot", "crawl", "spider", "slurp",
        "facebookexternalhit", "mediapartners", "adsbot", "apis-google", "baiduspider", "yandex", "duckduckgo",
        "archive.org", "ia_archiver", "feedfetcher", "feedly", "rss", "preview", "embedly", "whatsapp", "telegrambot",
        "twitterbot", "slackbot", "discordbot", "linkedinbot", "pinterest", "petalbot", "semrush", "ahrefs", "mj12",
        "gptbot", "claudebot", "ccbot", "bytespider", "perplexity", "amazonbot", "applebot", "scrapy", "search",
        "indexer", "fetcher", "validator", "checker", "scraper", "screenshot", "lighthouse", "headlesschrome",
        "phantomjs", "bot"]),
    ("library", &["curl", "wget", "python", "aiohttp", "httpx", "go-http-client", "okhttp", "axios", "java/", "jakarta",
        "apache-httpclient", "node-fetch", "node.js", "undici", "got (", "libwww", "lwp::", "postman", "insomnia",
        "httpie", "ruby", "faraday", "guzzle", "php/", "restsharp", ".net", "dart", "reqwest", "hyper/", "rust",
        "cfnetwork", "alamofire", "retrofit", "k6/", "locust", "jmeter", "grpc", "aws-sdk", "boto", "powershell",
        "winhttp", "libcurl", "swagger", "openapi", "http_request", "typhoeus", "spring", "feign", "volley", "ktor",
        "unirest", "superagent", "needle/", "bruno", "restclient", "rest-client", "http-client", "httpclient", "sdk"]),
    ("browser", &["mozilla/", "opera/", "opera mini", "lynx", "links (", "w3m", "dalvik", "ucweb", "ucbrowser"]),
];

static MATCHER: LazyLock<(AhoCorasick, Vec<usize>)> = LazyLock::new(|| {
    let words: Vec<&str> = WORDS.iter().flat_map(|(_, words)| words.iter().copied()).collect();
    let classes = WORDS.iter().enumerate().flat_map(|(i, (_, words))| vec![i; words.len()]).collect();
    let automaton = AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(words);
    (automaton.expect("the words are a short fixed list"), classes)
});

/// The class of a user agent, `None` when no word of it is known.
pub(crate) fn class(user_agent: &str) -> Option<&'static str> {
    let (automaton, classes) = &*MATCHER;
    let best = automaton.find_overlapping_iter(user_agent).map(|hit| classes[hit.pattern().as_usize()]).min();
    best.map(|class| WORDS[class].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_fall_into_their_class() {
        for (user_agent, expected) in [
            ("sqlmap/1.7.2#stable (https://sqlmap.org)", Some("scanner")),
            ("Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)", Some("scanner")),
            ("kube-probe/1.29", Some("monitor")),
            ("ELB-HealthChecker/2.0", Some("monitor")),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some("bot")),
            ("facebookexternalhit/1.1", Some("bot")),
            ("curl/8.7.1", Some("library")),
            ("python-requests/2.32.3", Some("library")),
            ("Go-http-client/1.1", Some("library")),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", Some("browser")),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                Some("browser"),
            ),
            ("acme-mobile 4.2", None),
            ("", None),
        ] {
            assert_eq!(class(user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn words_are_lower_case_and_of_one_class() {
        let mut seen = std::collections::HashSet::new();
        for word in WORDS.iter().flat_map(|(_, words)| words.iter()) {
            assert!(!word.is_empty() && word.to_lowercase() == **word, "{word}");
            assert!(seen.insert(word), "{word} is there twice");
        }
    }
}
