//! OpenAPI documents: several servers, levels of them, forms of paths, and what is wrong with a document.

use super::tests::told;
use super::*;

const SHOP: &str = r#"
openapi: 3.1.0
info: { title: Shop, version: "1" }
x-anything: [1, { a: b }]
servers:
  - url: https://api.example.com:8443/v1/
  - url: https://{region}.shop.example.net/{base}
    description: per region
    variables:
      region: { default: eu, enum: [eu, us] }
      base: { default: v2 }
paths:
  x-internal: { get: nothing }
  /orders:
    get: { responses: { 200: { description: ok } } }
    post: {}
  /orders/{id}:
    parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
    get: {}
    delete: { servers: [{ url: "https://admin.example.com" }] }
  /orders/latest: { get: {} }
  /files/{name}.{ext}: { get: {} }
  /files/{name}: { put: {} }
  /orders:export: { post: {} }
  /orders/{id}:cancel: { post: {} }
  /{version}/items/{itemId}: { get: {} }
  /status:
    servers: [{ url: / }]
    get: {}
"#;

fn shop() -> Templates {
    Templates::openapi(SHOP, "shop.yaml").expect("a document")
}

#[track_caller]
fn check(host: &str, request: &str, expected: &str, covered: bool) {
    let (method, path) = request.split_once(' ').expect("METHOD /path");
    assert_eq!(told(&shop(), host, method, path), (expected.to_string(), covered), "{host} {request}");
}

#[test]
fn hosts_and_base_paths_are_kept_apart() {
    check("api.example.com", "GET /v1/orders", "/v1/orders", true);
    check("api.example.com", "GET /v2/orders", "-", true);
    check("api.example.com", "GET /orders", "-", true);
    check("eu.shop.example.net", "GET /v2/orders", "/v2/orders", true);
    check("us.shop.example.net", "GET /v2/orders/7", "/v2/orders/{id}", true);
    check("other.example.com", "GET /status", "/status", true);
    check("api.example.com", "GET /status", "/status", true);
    check("admin.example.com", "DELETE /orders/7", "/orders/{id}", true);
    check("api.example.com", "DELETE /v1/orders/7", "/v1/orders/{id} (undocumented)", true);
    check("", "GET /v1/orders/7", "/v1/orders/{id}", true);
}

#[test]
fn concrete_beats_templated() {
    for (request, expected) in [
        ("GET /v1/orders/latest", "/v1/orders/latest"),
        ("GET /v1/orders/7", "/v1/orders/{id}"),
        ("HEAD /v1/orders/7", "/v1/orders/{id}"),
        ("OPTIONS /v1/orders", "/v1/orders"),
        ("GET /v1/files/a.pdf", "/v1/files/{name}.{ext}"),
        ("PUT /v1/files/a.pdf", "/v1/files/{name}"),
        ("POST /v1/orders:export", "/v1/orders:export"),
        ("POST /v1/orders/7:cancel", "/v1/orders/{id}:cancel"),
        ("GET /v1/3/items/4", "/v1/{version}/items/{itemId}"),
        ("GET /v1/orders/7/x", "-"),
        ("PATCH /v1/orders", "/v1/orders (undocumented)"),
    ] {
        check("api.example.com", request, expected, true);
    }
}

#[test]
fn json_documents_and_several_of_them() {
    let json = r#"{"openapi":"3.0.3","servers":[{"url":"//pets.example.org/api"}],
        "paths":{"/pets/{petId}":{"get":{"servers":null},"x-y":1},"/ref":{"$ref":"other.json"}}}"#;
    let pets = Templates::openapi(json, "pets.json").expect("a document");
    assert_eq!(told(&pets, "pets.example.org", "GET", "/api/pets/1"), ("/api/pets/{petId}".to_string(), true));
    assert_eq!(told(&pets, "pets.example.org", "PUT", "/api/ref"), ("/api/ref".to_string(), true));
    assert_eq!(told(&pets, "example.org", "GET", "/api/pets/1"), ("-".to_string(), false));
    let mut both = shop();
    both.merge(pets);
    assert_eq!(told(&both, "pets.example.org", "GET", "/api/pets/1").0, "/api/pets/{petId}");
    assert_eq!(told(&both, "api.example.com", "GET", "/v1/orders").0, "/v1/orders");
}

#[test]
fn a_host_variable_without_a_list_is_any_label() {
    let yaml = "openapi: 3.0.0\nservers:\n- url: 'https://{tenant}.example.com/v1'\n  variables: { tenant: { default: demo } }\npaths: { /a: { get: {} } }\n";
    let templates = Templates::openapi(yaml, "t.yaml").expect("a document");
    assert_eq!(told(&templates, "acme.example.com", "GET", "/v1/a"), ("/v1/a".to_string(), true));
    assert_eq!(told(&templates, "example.com", "GET", "/v1/a"), ("-".to_string(), false));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, line, expected) in [
        ("swagger: '2.0'\npaths: {}\n", 1, "openapi: 3.x"),
        ("info: {}\nopenapi: '2.0'\npaths: {}\n", 2, "version 3.x"),
        ("openapi: 3.0.0\n", 1, "expected paths"),
        ("openapi: 3.0.0\npaths:\n  /a: { get: {} }\n  /b/{c: { get: {} }\n", 4, ""),
        ("openapi: 3.0.0\npaths:\n  '/b/{c': { get: {} }\n", 3, "expected }"),
        ("openapi: 3.0.0\npaths:\n  b: { get: {} }\n", 3, "begins with /"),
        ("openapi: 3.0.0\nservers: [{ url: 'https://{x}.example.com' }]\npaths: {}\n", 2, "under its variables"),
        ("openapi: 3.0.0\nservers: [{ url: 'https:///v1' }]\npaths: {}\n", 2, "a host"),
        ("openapi: 3.0.0\npaths: [1]\n", 2, ""),
        ("openapi: 3.0.0\npaths:\n  /a:\n    get: 7\n", 4, ""),
        ("{\"openapi\": \"3.0.0\",\n \"paths\": {\"/a\": 7}}", 2, ""),
        ("{\"openapi\": \"3.0.0\",", 1, ""),
    ] {
        let error = Templates::openapi(text, "api.yaml").expect_err(text);
        assert_eq!((error.file.as_str(), error.line), ("api.yaml", line), "{error} in {text}");
        assert!(error.message.contains(expected), "{error} in {text}");
    }
}

#[test]
fn paths_are_compared_as_they_are_decoded() {
    let text = "openapi: 3.1.0\npaths:\n  /unicode/ä/{id}: { get: {} }\n  /m%c3%a9nu: { get: {} }\n  /report;from={from}: { get: {} }\n";
    let templates = Templates::openapi(text, "spelled.yaml").expect("a document");
    for (path, expected) in [
        ("/unicode/%C3%A4/5", "/unicode/ä/{id}"),
        ("/unicode/ä/5", "/unicode/ä/{id}"),
        ("/unicode/a/5", "-"),
        ("/m%C3%A9nu", "/m%c3%a9nu"),
        ("/ménu", "/m%c3%a9nu"),
        ("/report", "/report"),
    ] {
        assert_eq!(told(&templates, "", "GET", path).0, expected, "{path}");
    }
}
