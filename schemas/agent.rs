//! The class of a client by its user agent: scanner, monitor, bot, library or browser.
//!
//! Two kinds of signs: names of tools (a table, and for scanners `scanners.txt`), and habits that no browser has: a way to reach the operator (an address
//! of a page or a mailbox), `(compatible; Name`, `Mozilla/5.0` without a platform. General words (`feed`, `client`)
//! count only where nothing claims to be a browser, for apps with a browser inside have such words in their names.
//!
//! Promises: a plain table, first matching class wins, in that order. It is what the client says of itself: it sorts
//! the honest ones, it proves nothing. Work is linear in the text.
//! Never: a reason to block.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// One class, and words (lower case) of which one makes a user agent one of it.
struct Words {
    class: &'static str,
    anywhere: &'static [&'static str],
    /// Those that count only where no word of a browser is.
    alone: &'static [&'static str],
}

/// In order of precedence.
#[rustfmt::skip]
static WORDS: &[Words] = &[
    // Its names are data: `scanners.txt`.
    Words { class: "scanner", anywhere: &[], alone: &["vulnerab", "xray/", "scanner", "exploit"] },
    Words {
        class: "monitor",
        anywhere: &["pingdom", "uptimerobot", "kube-probe", "elb-healthchecker", "googlehc", "google-cloud-scheduler",
            "googlestackdriver", "datadog", "prometheus", "statuscake", "site24x7", "consul health check", "check_http",
            "nagios", "zabbix", "newrelic", "new relic", "uptime-kuma", "uptime/", "better uptime", "betterstack",
            "haproxy-healthcheck", "blackbox", "health-check", "healthcheck", "health check", "monitis", "monitor",
            "checkly", "hetrixtools", "freshping", "nodeping", "synthetic", "gatling", "grafana", "route 53",
            "amazon-route53", "updown.io", "ohdear", "catchpoint", "dynatrace", "ruxit", "icinga", "sensu",
            "watchmouse", "host-tracker", "hosttracker", "check-host", "checkhost", "siteuptime", "alertra",
            "internetseer", "gtmetrix", "page speed", "pagespeed", "ptst", "webpagetest", "dareboost", "loadimpact",
            "yottaa", "lighthouse", "speedcurve", "sitespeed", "apachebench", "downforeveryone", "pulsetic",
            "cronitor", "sematext", "appdynamics", "instana", "webmon", "pingability", "neustar wpm", "keynote",
            "ghost inspector", "gomezagent", "smf=0"],
        alone: &["uptime", "keepalive", "healthz", "liveness", "readiness", "siege/", "artillery", "vegeta", "k6/",
            "locust", "jmeter", "heartbeat", "splunk", "probe/", "whatsup", "responsecode", "httping", "perf test",
            "ping/", "worldping", "cronjob", "apimon", "hexometer"],
    },
    Words {
        class: "bot",
        anywhere: &["bot", "b0t", "crawl", "crwl", "spider", "slurp", "facebookexternal", "facebookcatalog",
            "facebookplatform", "mediapartners", "apis-google", "feedfetcher", "google favicon",
            "google-site-verification", "google-structured-data", "google-read-aloud", "google-inspectiontool",
            "google-extended", "googleother", "google web preview", "google pp default", "google keyword",
            "google-publisher-plugin", "googleimageproxy", "google-adwords", "google-ads", "google-apps-script",
            "google-amphtml", "google-youtube", "google-safety", "google_analytics", "googledocs", "googlesites",
            "google search console", "google wireless transcoder", "googleproducer", "duplexweb-google",
            "googleassociationservice", "appengine-google", "google-cloudvertex", "feedburner", "bingpreview", "baidus",
            "yandexb", "yandexi", "yandexm", "yandex.com", "sogou web", "sogou pic", "haosou", "yisou", "daumoa",
            "qwantify", "exalead", "gigablast", "ask jeeves", "teoma", "ichiro", "seznam", "archive.org", "ia_archiver",
            "archiver", "heritrix", "nutch", "larbin", "grub-client", "harvest", "flipboardproxy", "ahrefs", "semrush",
            "mj12", "siteimprove", "screaming frog", "sitebulb", "siteaudit", "site audit", "siteanalyzer", "sitemap",
            "wappalyzer", "builtwith", "proximic", "admantx", "grapeshot", "peer39", "adbeat", "evidon",
            "semanticsclassifier", "criteo", "chatgpt", "openai", "claude-", "anthropic", "bytespider", "perplexity",
            "cohere-ai", "meta-external", "mistralai", "img2dataset", "duckassist", "scrapy", "scraper", "linkcheck",
            "brokenlink", "thumbnail", "webthumb", "screenshot", "websnap", "mshots", "site-shot", "webshot", "urlbox",
            "headless", "phantomjs", "puppeteer", "playwright", "selenium", "webdriver", "slimerjs", "htmlunit",
            "wkhtmlto", "prerender", "snapsearch", "heartrails", "webcapture", "web preview", "snap preview", "embedly",
            "skypeuripreview", "tweetm", "twitterb", "ips-agent", "zscaler", "bluecoat", "websense", "httrack",
            "webcopier", "teleport", "offline explorer", "webzip", "wordpress", "webfilter", "cerberian", "agent/",
            "analyzer", "aggregator", "googlemessages", "reederformac", "productfinder"],
        alone: &["google", "yandex", "baidu", "sogou", "naver", "daum", "duckduckgo", "coccoc", "rambler", "mail.ru",
            "yahoo", "bing", "feed", "rss", "atom", "simplepie", "netnewswire", "newsblur", "inoreader", "theoldreader",
            "reader", "newsgator", "livelap", "flipboard", "nuzzel", "postrank", "owler", "preview", "iframely",
            "metauri", "unfurl", "oembed", "whatsapp", "facebook", "twitter", "tweet", "discord", "slack", "telegram",
            "viber", "mattermost", "pinterest", "tumblr", "reddit", "disqus", "xing-", "vkshare", "linkedin", "search",
            "seo", "linkdex", "lipperhey", "majestic", "moz.com", "xenu", "deepcrawl", "oncrawl", "ryte",
            "link", "url", "web", "page", "site", "alexa", "comscore", "mediametric", "integralads", "semantic",
            "diffbot", "omgili", "index", "fetch", "valid", "w3c", "check", "resolv", "expander", "shorten",
            "thumb", "snap", "shot", "capture", "splash", "parse", "extract", "analy", "aggregat", "grab", "collect",
            "survey", "classif", "detect", "metadata", "discover", "director", "catalog", "archiv", "mirror", "copy",
            "harvest", "monitor", "verif", "audit", "preload", "proxy",
            "htdig", "findlinks", "scooter", "vagabondo", "scrubby", "tineye", "saucenao", "picsearch", "hatena", "yeti/",
            "mogimogi", "turnitin", "copyscape", "dlvr.it", "ifttt", "zapier", "hubspot", "mailchimp", "mandrill",
            "sendgrid", "webhook", "braintree", "stripe/", "paypal", "nominet", "barracuda", "proofpoint", "mimecast",
            "trendmicro", "forcepoint", "comodo", "piracy", "dmca", "pavuk", "getright", "flashget", "download",
            "torrent", "transmission/", "podcast", "drupal", "joomla", "moodle", "mediawiki", "wp ", "cloudflare",
            "cdn", "traffic manager", "camo", "imgproxy", "robo", 
            "engine", "integrity", "mta-sts", "mtasts", "smtp", "newspaper"],
    },
    Words {
        class: "library",
        anywhere: &["curl", "wget", "python", "aiohttp", "httpx", "go-http-client", "okhttp", "axios", "java/",
            "apache-httpclient", "node-fetch", "node.js", "undici", "libwww", "lwp::", "postman", "insomnia", "httpie",
            "guzzle", "php/", "restsharp", "cfnetwork", "alamofire", "grpc", "aws-sdk", "aws-cli", "botocore",
            "powershell", "winhttp.", "libcurl", "http_request", "web services client protocol", "webdav", "znhttp",
            "microsoft office", "ms-office", "word/1", "excel/1", "powerpoint/1", "macoutlook"],
        alone: &["jakarta", "got (", "lwp-", "ruby", "faraday", "dotnet", ".net", "dart/", "dart:io", "reqwest", "hyper",
            "rust", "retrofit", "boto", "winhttp", "wininet", "swagger", "openapi", "http-request", "typhoeus", "spring",
            "feign", "volley", "ktor", "unirest", "superagent", "needle", "bruno", "rest", "http", "jersey", "jetty",
            "vert.x", "netty", "akka", "finagle", "sdk", "urllib", "mechanize", "snoopy", "pear", "zend", "symfony",
            "laravel", "perl", "haskell", "erlang", "hackney", "elixir", "mint/", "clojure", "scala", "kotlin", "swift",
            "objective-c", "afnetworking", "nsurl", "msxml", "xml", "libsoup", "libfetch", "neon/", "serf/", "qt",
            "ureq", "isahc", "surf/", "minio", "rclone", "terraform", "ansible", "helm/", "kubectl", "docker",
            "containerd", "git", "composer", "npm/", "yarn/", "pnpm", "pip/", "maven", "gradle", "nuget", "cargo/",
            "aria2", "lftp", "mget", "colly", "resty", "req/v", "davfs", "cadaver", "bits/", "excon", "java", "openjdk",
            "axis", "soap", "delphi", "indy library", "synapse", "coldfusion", "lucee", "cfml", "servicenow", "workato",
            "mulesoft", "anypoint", "boomi", "azure-", "gcloud", "gax/", "client", "api", "async", "ahc/", "beast",
            "quic", "apache ant", "sap netweaver", "frontpage", "anglesharp", "curb", "libre", "openoffice",
            "thunderbird", "outlook", "service", "server", "consumer", "test", "sync", "import", "cache", "image", "media"],
    },
    Words {
        class: "browser",
        anywhere: &["mozilla/", "opera/", "opera mini", "lynx/", "links (", "elinks", "w3m/", "dalvik", "ucweb", "ucbrowser",
            "up.browser", "openwave", "midp-", "netfront", "semc-browser", " browser"],
        alone: &[],
    },
];

static SCANNERS: &str = include_str!("scanners.txt");

/// The names of scanners, a line each; behind two blanks stands what it is.
fn scanners() -> impl Iterator<Item = &'static str> {
    let lines = SCANNERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once("  ").map(|(name, _)| name))
}

/// How to reach whoever runs it: no browser says so, a robot should. Weaker than the name of a tool.
static CONTACTS: &[&str] = &["http://", "https://", "www.", "@", " dot com", "(+", "+(", "; +", " at gmail"];

/// Where an app runs. Its name may hold any of the general words.
static PLATFORMS: &[&str] = &["iphone", "ipad", "ios ", "ios/", "android"];

/// What may follow `(compatible; ` in a browser.
const COMPATIBLE: [&str; 5] = ["msie", "konqueror", "windows", "opera", "netfront"];

struct Matcher {
    automaton: AhoCorasick,
    /// Of each word: place of its class in `WORDS`, and its weight.
    words: Vec<(usize, Weight)>,
}

/// How much a word says, most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Anywhere,
    Contact,
    Alone,
    /// Says only that general words say nothing.
    Platform,
}

const BROWSER: usize = WORDS.len() - 1;

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| {
    let bot = WORDS.iter().position(|list| list.class == "bot").expect("bot is in the table");
    let named = WORDS.iter().enumerate().flat_map(|(class, list)| {
        let anywhere = list.anywhere.iter().map(move |word| (*word, class, Weight::Anywhere));
        anywhere.chain(list.alone.iter().map(move |word| (*word, class, Weight::Alone)))
    });
    let contacts = CONTACTS.iter().map(|word| (*word, bot, Weight::Contact));
    let platforms = PLATFORMS.iter().map(|word| (*word, bot, Weight::Platform));
    let scanner = WORDS.iter().position(|list| list.class == "scanner").expect("scanner is in the table");
    let scanners = scanners().map(|name| (name, scanner, Weight::Anywhere));
    let all: Vec<_> = named.chain(scanners).chain(contacts).chain(platforms).collect();
    let words = all.iter().map(|(_, class, weight)| (*class, *weight)).collect();
    let texts = all.iter().map(|(word, ..)| *word);
    let automaton = AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(texts);
    Matcher { automaton: automaton.expect("the words are a short fixed list"), words }
});

/// The class of a user agent, `None` when no word of it is known.
pub(crate) fn class(user_agent: &str) -> Option<&'static str> {
    // The best class by names of tools, and by weaker signs.
    let (mut named, mut hinted, mut alone) = (usize::MAX, usize::MAX, usize::MAX);
    let (mut is_browser, mut is_app) = (false, false);
    for hit in MATCHER.automaton.find_overlapping_iter(user_agent) {
        match MATCHER.words[hit.pattern().as_usize()] {
            (BROWSER, _) => is_browser = true,
            (class, Weight::Anywhere) if !is_a_phone(user_agent, hit.start()) => named = named.min(class),
            (_, Weight::Anywhere) => {}
            (class, Weight::Contact) => hinted = hinted.min(class),
            (class, Weight::Alone) => alone = alone.min(class),
            (_, Weight::Platform) => is_app = true,
        }
    }
    if !is_browser && !is_app {
        hinted = hinted.min(alone);
    }
    match WORDS.get(named).or(WORDS.get(hinted)) {
        Some(list) => Some(list.class),
        None if is_browser && pretends(user_agent) => Some("bot"),
        None => is_browser.then_some("browser"),
    }
}

/// The phones of the maker Cubot name themselves in their user agent.
fn is_a_phone(user_agent: &str, at: usize) -> bool {
    at >= 2 && user_agent.as_bytes()[at - 2..].get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"cubot"))
}

/// Says `Mozilla` and is no browser: each of them names its platform in parentheses, and those that are `compatible` say
/// with which browser.
fn pretends(user_agent: &str) -> bool {
    let Some((_, platform)) = user_agent.split_once('(') else { return false };
    let named = platform.get(.."compatible; ".len()).filter(|word| word.eq_ignore_ascii_case("compatible; "));
    named.is_some_and(|word| !COMPATIBLE.iter().any(|name| starts_with(&platform[word.len()..], name)))
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
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
            ("ShopSearch/7.1 (iPhone; iOS 17.5; Scale/3.00)", None),
            ("", None),
        ] {
            assert_eq!(class(user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn declared_tools_of_many_kinds() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/125.0.0.0 Safari/537.36",
                "bot",
            ),
            ("Mozilla/5.0 (compatible; acme-widget/2.0)", "bot"),
            ("Mozilla/5.0 (compatible; acme-widget/2.0; +https://widget.example/about)", "bot"),
            ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/115.0 (ops@widget.example)", "bot"),
            // Scanners write so; who crawls openly gives a name.
            ("Mozilla/5.0", "browser"),
            ("mozilla/4.0", "browser"),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "bot"),
            ("ChatGPT-User/1.0", "bot"),
            ("k6/0.49.0 (https://k6.io/)", "monitor"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 PTST/240501",
                "monitor",
            ),
            ("aws-sdk-java/2.17 Linux/5.4 OpenJDK_64-Bit_Server_VM/11", "library"),
            ("PostmanRuntime/7.39.0", "library"),
            ("Microsoft Office Word 2016", "library"),
            ("orders-service/1.4", "library"),
            ("MyShop/12 CFNetwork/1410.0.3 Darwin/22.6.0", "library"),
            ("Mozilla/5.0 (compatible; Nuclei - Open-source project)", "scanner"),
            ("Mozilla/5.0 (compatible; NetcraftSurveyAgent/1.0; +info@netcraft.example)", "scanner"),
            ("Mozilla/5.0 zgrab/0.x", "scanner"),
            ("Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)", "scanner"),
            ("Wget/1.21 httpx - Open-source project (github.com/projectdiscovery/httpx)", "scanner"),
            ("python-httpx/0.27.0", "library"),
            ("WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)", "scanner"),
            ("gobuster/3.6", "scanner"),
        ] {
            assert_eq!(class(user_agent), Some(expected), "{user_agent}");
        }
    }

    /// Desktop, mobile, in-app, television, console, old and rare.
    #[test]
    #[rustfmt::skip]
    fn browsers_are_browsers() {
        for user_agent in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; SLCC2; .NET CLR 2.0.50727; .NET CLR 3.5.30729; .NET CLR 3.0.30729; Media Center PC 6.0; .NET4.0C; .NET4.0E; rv:11.0) like Gecko",
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; SLCC2; .NET CLR 2.0.50727; .NET CLR 3.5.30729; InfoPath.2)",
            "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
            "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; WOW64; Trident/6.0; Touch)",
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; .NET CLR 1.1.4322)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:126.0) Gecko/20100101 Firefox/126.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.6367.88 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/125.0 Mobile/15E148 Safari/605.1.15",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/314.0.625 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) EdgiOS/124.0 Version/17.0 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/450.0.0.38.108;FBBV/564431005;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/16.6;FBSS/3;FBID/phone;FBLC/en_US;FBOP/5]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 312.0.1.19.124 (iPhone13,2; iOS 17_1; en_US; en; scale=3.00; 1170x2532; 548339486)",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.29.5",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Twitter for iPhone/10.12",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21B80 Snapchat/12.60.0.52 (like Safari/8616.2.9.10.11, panda)",
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0.6367.82 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/463.0.0.37.106;]",
            "Mozilla/5.0 (Linux; Android 13; 2201117TY) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.0.0 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.4.0-g",
            "Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0",
            "Mozilla/5.0 (Linux; U; Android 4.0.3; ko-kr; LG-L160L Build/IML74K) AppleWebkit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
            "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/121.3.1 like Chrome/121.0.6167.178 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; HarmonyOS; NOH-AN00) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 HuaweiBrowser/14.0.0.300 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; M2101K6G) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.156 YaBrowser/23.1.0.276.00 SA/3 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 YaBrowser/24.1.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/117.0.0.0 Safari/537.36 Vivaldi/6.2.3105.58",
            "Mozilla/5.0 (Linux; Android 12; moto g(60)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/86.0.4240.198 Mobile Safari/537.36 MicroMessenger/8.0.37 NetType/WIFI Language/zh_CN",
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.2 Chrome/63.0.3239.84 TV Safari/537.36",
            "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 Safari/537.36 WebAppManager",
            "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
            "Mozilla/5.0 (Nintendo Switch; WebApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3 NintendoBrowser/5.1.0.22474",
            "Mozilla/5.0 (compatible; Konqueror/4.5; Linux) KHTML/4.5.4 (like Gecko) Kubuntu",
            "Mozilla/5.0 (X11; Linux x86_64) KHTML/5.245.0 (like Gecko) Konqueror/5 KIO/5.245",
            "Opera/9.80 (Windows NT 6.1; U; en) Presto/2.12.388 Version/12.16",
            "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
            "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.0.7) Gecko/2009030422 Ubuntu/8.10 (intrepid) Firefox/3.0.7",
            "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0.9.2372 Mobile Safari/537.10+",
            "Mozilla/5.0 (Mobile; LYF/F220B/LYF-F220B-002-01-15-130718-i;Android; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
            "Mozilla/5.0 (Linux; U; Android 12; en-US; RMX3491) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.58 UCBrowser/13.5.8.1311 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Brave Chrome/83.0.4103.116 Safari/537.36",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_5) AppleWebKit/537.78.2 (KHTML, like Gecko) Version/7.0.6 Safari/537.78.2",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 TrustWallet/8.0",
            "Mozilla/5.0 (Linux; Android 12; CPH2211 Build/SP1A.210812.016; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/107.0.5304.141 Mobile Safari/537.36 trill_2022709050 JsSdk/1.0 NetType/WIFI Channel/googleplay AppName/musical_ly app_version/27.9.5 ByteLocale/en ByteFullLocale/en Region/US",
            "Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15 Epiphany/605.1.15",
            "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15254",
            "Mozilla/5.0 (X11; NetBSD amd64; rv:78.0) Gecko/20100101 Firefox/78.0 SeaMonkey/2.53.9",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.71 Electron/28.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.0; CUBOT_NOTE_S) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.99 Mobile Safari/537.36",
            "SAMSUNG-GT-E2232/1.0 Openwave/6.2.3 Profile/MIDP-2.0 Configuration/CLDC-1.1 UP.Browser/6.2.3.3.c.1.101 (GUI) MMP/2.0",
            "Lynx/2.8.9rel.1 SSL-MM/1.4.1 OpenSSL/1.1.1d",
        ] {
            assert_eq!(class(user_agent), Some("browser"), "{user_agent}");
        }
    }

    #[test]
    fn words_are_lower_case_and_of_one_class() {
        let mut seen = std::collections::HashSet::new();
        let names: Vec<&str> = scanners().collect();
        assert!(names.len() >= 120 && names.iter().all(|name| name.len() > 3), "{}", names.len());
        let lists = WORDS.iter().flat_map(|list| [(list.anywhere, false), (list.alone, true)]);
        for (list, alone) in lists.chain([(&names[..], false)]) {
            for word in list {
                assert!(word.len() > 1 && word.to_lowercase() == **word, "{word}");
                assert!(seen.insert((*word, alone)), "{word} is there twice");
            }
        }
    }
}
