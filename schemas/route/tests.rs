//! Endpoints of paths, and how what is configured, logged and learned comes together.

use proptest::prelude::*;

use super::*;

/// Endpoint, identifiers and `documented` of requests to one source, one after the other.
struct Bench {
    router: Router,
    scrubber: Scrubber,
    offset: i64,
}

impl Bench {
    fn new(templates: Option<Templates>) -> Bench {
        Bench { router: Router::new(templates.map(Arc::new)), scrubber: Scrubber::default(), offset: 0 }
    }

    fn ask(&mut self, asked: Asked<'_>) -> (String, String, Option<bool>) {
        let (mut out, mut ids, mut buffer) = (String::new(), String::new(), String::new());
        let kept = self.scrubber.scrub(asked.path, &mut buffer, &mut Found::default()).to_string();
        let kept = if kept == asked.path { asked.path } else { &kept };
        self.offset += 1;
        let asked = Asked { method: asked.method.or(Some("GET")), kept, offset: self.offset, ..asked };
        let documented = self.router.route(&asked, &mut self.scrubber, &mut out, &mut ids);
        (out, ids, documented)
    }

    fn endpoint(&mut self, path: &str, status: i32, client: &str) -> String {
        let (out, ..) = self.ask(Asked { path, status: Some(status), client: Some(client), ..Asked::default() });
        out.strip_prefix("GET ").expect("the method").to_string()
    }
}

fn template(path: &str) -> (String, String) {
    let (out, ids, _) = Bench::new(None).ask(Asked { path, ..Asked::default() });
    (out.strip_prefix("GET ").expect("the method").to_string(), ids)
}

#[track_caller]
fn check(path: &str, expected: &str) {
    assert_eq!(template(path).0, expected, "of {path}");
}

#[track_caller]
fn check_ids(path: &str, expected: &str, ids: &str) {
    assert_eq!(template(path), (expected.to_string(), ids.to_string()), "of {path}");
}

#[test]
fn verbs_keys_and_authorities_keep_what_names_the_endpoint() {
    check("/v1:batchGet", "/v1:batchGet");
    check_ids("/v1/orders/4711:cancel", "/v1/orders/{id}:cancel", "4711");
    check_ids("/odata/Orders(4711)", "/odata/Orders({id})", "4711");
    check_ids("/posts/how-to-measure-the-speed-of-light", "/posts/{slug}", "how-to-measure-the-speed-of-light");
    check_ids("/odata/Orders('4711')/Items", "/odata/Orders({id})/Items", "4711");
    check("/%", "/{other}");
}

#[test]
fn identifiers_are_replaced() {
    check("/v1/orders/4711", "/v1/orders/{id}");
    check("/v1/orders/4711/items/2", "/v1/orders/{id}/items/{id}");
    check("/users/550e8400-e29b-41d4-a716-446655440000/profile", "/users/{id}/profile");
    check("/x/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/x/{id}");
    check("/commit/4bf92f3577b34da6", "/commit/{id}");
    check("/commit/deadbeef", "/commit/deadbeef");
    check("/commit/deadbee1", "/commit/{id}");
    check("/watch/dQw4w9WgXcQ", "/watch/{id}");
    check("/reports/2024-01-15", "/reports/{id}");
    check("/customers/cus_9s6XKzkNRiz8i3", "/customers/{id}");
    check("/users/alice%40example.com", "/users/{id}");
    check("/users/a***@[REDACTED:email]/x", "/users/{id}/x");
    check("/orders/order-10293", "/orders/{id}");
    check("/export/4711.json", "/export/{id}.json");
    check("/search/blue%20shoes", "/search/{id}");
    check_ids("/t/7/orders/ab12cd34ef/x.png", "/t/{id}/orders/{id}/{file}.png", "7/ab12cd34ef");
}

#[test]
fn words_and_versions_stay() {
    for path in [
        "/",
        "/v1",
        "/v2.1/status",
        "/api/v1beta1/pods",
        "/oauth2/token",
        "/s3/buckets",
        "/index.html",
        "/login.php",
        "/api/reset-password",
        "/.well-known/openid-configuration",
        "/.env",
        "/.git/config",
        "/wp-admin/setup-config.php",
        "/pets/{petId}",
        "/v1/orders:batchGet",
        "/users/me",
        "/a/",
        "/robots.txt",
        "/getUserAccountSettings",
        "/v1/café",
    ] {
        check_ids(path, path, "");
    }
    check("*", "/*");
    check("", "/");
}

#[test]
fn ordinary_web_sites_do_not_explode() {
    check("/images/photo-of-a-cat.png", "/images/{file}.png");
    check("/images/logo@2x.png", "/images/{file}.png");
    check("/static/main.8f3a2b1c.js", "/static/{file}.js");
    check("/blog/2015/01/how-to-measure-the-speed-of-light", "/blog/{id}/{id}/{slug}");
    check("/data/migrations/1548957970627_remove-db-version.sql", "/data/migrations/{id}.sql");
    check("/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/i/j/{rest}");
    check(&format!("/{}", "word/".repeat(40)), "/word/word/word/word/word/word/word/word/word/word/{rest}");
    check("/cgi-bin/$(id)/x", "/cgi-bin/{other}/x");
    check("/a/'or'1'='1", "/a/{other}");
}

#[test]
fn services_of_grpc_are_two_words() {
    for path in [
        "/shop.v1.Accounts/Login",
        "/grpc.health.v1.Health/Check",
        "/acme.shop.v2.CartService/AddItem",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/package.Service2/Method",
        "/shop.v1beta1.Users/ListV2Users",
        "/twirp/shop.v1.Accounts/Login",
        "/etcdserverpb.KV/Range",
    ] {
        check_ids(path, path, "");
    }
    check_ids("/shop.v1.Accounts/4711", "/{id}/{id}", "shop.v1.Accounts/4711");
}

#[test]
fn spellings_do_not_multiply_templates() {
    for path in [
        "/orders/42",
        "/orders;v=1/42;color=red",
        "/%6frders/42",
        "/orders/%34%32",
        "//orders///42",
        "/./orders/./42",
        "/x/../orders/42",
        "/x/%2e%2e/orders/42",
        "/x/%252e%252e/orders/42",
        "/x/..;/orders/42",
        "/orders/7/../42",
    ] {
        check_ids(path, "/orders/{id}", "42");
    }
    check_ids(&format!("{}/etc/passwd", "/.".repeat(4096)), "/etc/passwd", "");
    check_ids("/static/..%2f..%2fetc%2fpasswd", "/static/{other}", "");
    check_ids("/static/..%5c..%5cwin.ini", "/static/{other}", "");
    check_ids("/a/%3Cscript%3E", "/a/{other}", "");
    check_ids("/a/x%00.png", "/a/{other}", "");
    check_ids("/../../../../etc/passwd", "/etc/passwd", "");
    check_ids("/projects/group%2Fproject", "/projects/{id}", "group%2Fproject");
}

#[test]
fn redaction_changes_no_template_and_makes_no_object() {
    check_ids("/users/alice@example.com", "/users/{id}", "alice@example.com");
    check_ids("/orders/4111111111111111", "/orders/{id}", "4111111111111111");
    let key = format!("AKIA{}", "FAKE0FAKE0FAKE0F");
    check_ids(&format!("/keys/{key}/use/7"), "/keys/{secret}/use/{id}", "7");
    check_ids(&format!("/%6beys/{key}"), "/keys/{secret}", "");
    check_ids(&format!("/keys;v=1/{key}"), "/keys/{secret}", "");
}

fn told(bench: &mut Bench, host: &str, method: &str, path: &str) -> (String, String, Option<bool>) {
    bench.ask(Asked { method: Some(method), host: Some(host), path, status: Some(200), ..Asked::default() })
}

#[test]
fn documents_come_first() {
    let yaml = "openapi: 3.0.3\nservers: [{ url: 'https://api.example.com/v1' }]\npaths:\n  /{locale}/users/{name}: { get: {} }\n  /reset/{token}: { post: {} }\n";
    let mut bench = Bench::new(Some(Templates::openapi(yaml, "api.yaml").expect("a document")));
    let owned = |endpoint: &str, ids: &str, documented| (endpoint.to_string(), ids.to_string(), documented);
    let host = "api.example.com";
    let expected = owned("GET /v1/{locale}/users/{name}", "alice", Some(true));
    assert_eq!(told(&mut bench, host, "GET", "/v1/en/users/alice"), expected);
    assert_eq!(told(&mut bench, host, "GET", "/v1/./en//%75sers;x=1/alice"), expected);
    let other = owned("DELETE /v1/{locale}/users/{name}", "alice", Some(false));
    assert_eq!(told(&mut bench, host, "DELETE", "/v1/en/users/alice"), other);
    assert_eq!(told(&mut bench, host, "GET", "/v1/orders/7"), owned("GET /v1/orders/{id}", "7", Some(false)));
    assert_eq!(told(&mut bench, "x.example.com", "GET", "/v1/orders/7"), owned("GET /v1/orders/{id}", "7", None));
    let secret = format!("/v1/reset/AKIA{}", "FAKE0FAKE0FAKE0F");
    assert_eq!(told(&mut bench, host, "POST", &secret), owned("POST /v1/reset/{token}", "", Some(true)));
}

#[test]
fn the_gateways_route_comes_second() {
    let ask = |route, path| {
        let (out, ids, documented) = Bench::new(None).ask(Asked { route: Some(route), path, ..Asked::default() });
        assert_eq!(documented, None);
        (out, ids)
    };
    let pair = |endpoint: &str, ids: &str| (endpoint.to_string(), ids.to_string());
    assert_eq!(ask("/pets/{petId}", "/prod/pets/fluffy"), pair("GET /pets/{petId}", "fluffy"));
    assert_eq!(ask("ANY /pets/:id", "/pets/7"), pair("GET /pets/{id}", "7"));
    assert_eq!(ask("/{proxy+}", "/pets/7"), pair("GET /pets/{id}", "7"));
    assert_eq!(ask("$default", "/pets/fluffy"), pair("GET /pets/fluffy", ""));
}

fn client(number: usize) -> String {
    format!("192.0.2.{}", number % 40)
}

/// A name without digits, another for each number.
fn name(number: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    [letter(number / 676), letter(number / 26), letter(number), 'x', 'y'].iter().collect()
}

#[test]
fn words_that_vary_become_slugs_and_known_ones_stay() {
    let mut bench = Bench::new(None);
    for round in 0..10 {
        assert_eq!(bench.endpoint("/users/me", 200, &client(round)), "/users/me");
    }
    let shown: Vec<String> =
        (0..60).map(|n| bench.endpoint(&format!("/users/{}/posts", name(n)), 200, &client(n))).collect();
    assert_eq!(shown[0], "/users/aaaxy/posts");
    assert!(shown[30..].iter().all(|endpoint| endpoint == "/users/{slug}/posts"), "{shown:?}");
    assert_eq!(bench.endpoint("/users/me", 200, "192.0.2.1"), "/users/me");
    assert_eq!(bench.endpoint("/users/zoe/posts", 404, "192.0.2.1"), "/users/{slug}/posts");
    let (_, ids, _) = bench.ask(Asked { path: "/users/zoe/posts/7", status: Some(404), ..Asked::default() });
    assert_eq!(ids, "7/zoe");
}

#[test]
fn names_of_resources_and_methods_stay() {
    let mut bench = Bench::new(None);
    for n in (0..200).chain(0..200) {
        for path in
            [format!("/v1/{}", name(n)), format!("/api/{}/list", name(n)), format!("/admin/objects/{}/7", name(n))]
        {
            let expected = path.replace("/7", "/{id}");
            assert_eq!(bench.endpoint(&path, 200, &client(n)), expected);
        }
        let service = format!("/shop.{}.Service/List", name(n));
        assert_eq!(bench.endpoint(&service, 200, &client(n)), service);
    }
    // Nothing has so many.
    let shown: Vec<String> =
        (0..400).map(|n| bench.endpoint(&format!("/v1/{}", name(n + 300)), 200, &client(n))).collect();
    assert_eq!(shown[399], "/v1/{slug}");
}

#[test]
fn a_scan_teaches_nothing() {
    let mut bench = Bench::new(None);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..3000 {
        seen.insert(bench.endpoint(&format!("/shop/{}", name(n)), [404, 403, 500][n % 3], &client(n)));
    }
    assert_eq!(seen.len(), 3000, "refused requests");
    assert_eq!(bench.router.learned.save(false), None);
    let one: std::collections::BTreeSet<String> =
        (0..100).map(|n| bench.endpoint(&format!("/shop/{}", name(n)), 200, "192.0.2.1")).collect();
    assert_eq!(one.len(), 100, "one client that is answered");
}

#[test]
fn memory_is_bounded_and_what_was_learned_stays() {
    let mut bench = Bench::new(None);
    (0..40).for_each(|n| drop(bench.endpoint(&format!("/users/{}", name(n)), 200, &client(n))));
    for n in 0..20_000 {
        let path = format!("/x{}/{}.html/{}", name(n / 90), name(n), name(n * 7));
        bench.endpoint(&path, 200, &client(n));
    }
    let saved = serde_json::to_vec(&bench.router.learned.save(false)).expect("JSON");
    assert!(saved.len() < 1 << 20, "{} bytes", saved.len());
    assert_eq!(bench.endpoint("/users/zoe", 200, "192.0.2.1"), "/users/{slug}");
}

/// A mixed stream of paths: the same for the same number.
fn mixed(n: usize) -> (String, i32) {
    let path = match n % 5 {
        0 => format!("/users/{}", name(n * 31 % 500)),
        1 => format!("/users/{}/posts/{n}", name(n * 17 % 300)),
        2 => format!("/{}/{}", name(n * 13 % 290), name(n * 7 % 900)),
        3 => format!("/shop/{}", name(n % 20)),
        _ => format!("/v1/orders/{n}"),
    };
    (path, [200, 200, 301, 404][n * 11 % 4])
}

#[test]
fn saved_and_restored_goes_on_alike() {
    let lane = Lane::new("edge", 0);
    let run = |cuts: &[usize]| {
        let mut bench = Bench::new(None);
        bench.router.begin(&lane);
        let mut saved = None;
        let mut shown = Vec::new();
        for n in 0..3000 {
            if cuts.contains(&n) {
                saved = bench.router.end(&lane, n as i64 + 1, false).or(saved);
                let text = serde_json::to_string(&saved).expect("JSON");
                bench.router = Router::new(None);
                let again: Option<Saved> = serde_json::from_str(&text).expect("the same");
                assert!(bench.router.restore(&lane, again.as_ref().expect("something was learned")));
                bench.router.begin(&lane);
            }
            let (path, status) = mixed(n);
            shown.push(bench.endpoint(&path, status, &client(n * 3)));
        }
        shown
    };
    let whole = run(&[]);
    assert!(whole.iter().any(|endpoint| endpoint == "/users/{slug}"));
    for cuts in [&[1][..], &[20, 21, 22, 300], &[100, 200, 1500, 2999]] {
        assert!(whole == run(cuts), "cut at {cuts:?}");
    }
}

#[test]
fn records_that_are_read_again_teach_nothing() {
    let lane = Lane::new("edge", 0);
    let mut bench = Bench::new(None);
    bench.router.begin(&lane);
    (0..100).for_each(|n| drop(bench.endpoint(&mixed(n).0, 200, &client(n))));
    assert!(bench.router.end(&lane, 101, false).is_some());
    bench.router.begin(&lane);
    bench.offset = 0;
    (0..100).for_each(|n| drop(bench.endpoint(&mixed(n).0, 200, &client(n))));
    assert_eq!(bench.router.end(&lane, 101, false), None);
}

proptest! {
    #[test]
    fn templates_are_bounded_stable_and_their_own_template(path in "/\\PC{0,400}") {
        let once = template(&path).0;
        prop_assert_eq!(&once, &template(&path).0);
        prop_assert!(once.len() <= ENDPOINT_BYTES_MAX + 8);
        prop_assert_eq!(&template(&once).0, &once);
    }

    #[test]
    fn hostile_spellings_are_bounded_too(path in "(/([a-z]{1,3}|[;.%/\\\\\\[\\]@=]|%2[ef5]|%25|\\.\\.|[0-9]{1,4}){0,6}){0,14}") {
        let (once, _) = template(&path);
        prop_assert!(once.len() <= ENDPOINT_BYTES_MAX + 8);
        prop_assert_eq!(&template(&once).0, &once);
        prop_assert!(!once.contains("/./") && !once.contains("/../") && !once.contains("//"), "{}", once);
    }

    // Never two numbers one after the other: 36585/99687/155309 is a card, 0081 00/000000 a telephone number.
    #[test]
    fn redaction_touches_only_its_segment(words in prop::collection::vec("[a-z]{1,8}|[1-9][0-9]{0,5}/[a-z]{1,8}", 1..4), at in 0usize..7) {
        let words: Vec<String> = words.iter().flat_map(|words| words.split('/')).map(str::to_string).collect();
        let secret = format!("AKIA{}", "FAKE0FAKE0FAKE0F");
        let at = at.min(words.len());
        let mut with: Vec<&str> = words.iter().map(String::as_str).collect();
        with.insert(at, &secret);
        let shown = template(&format!("/{}", with.join("/"))).0;
        let mut plain: Vec<String> = words.iter().map(|w| template(&format!("/{w}")).0[1..].to_string()).collect();
        plain.insert(at, "{secret}".to_string());
        prop_assert_eq!(shown, format!("/{}", plain.join("/")));
    }
}
