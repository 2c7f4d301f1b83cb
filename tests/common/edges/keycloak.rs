//! Keycloak's token endpoint and Admin REST API: users of one realm, with sessions.

use serde_json::{Value, json};

use super::{Asked, Edge};

pub const ALICE: &str = "0ba7a3fd-6fd8-48cd-a60b-2e8fd82d56e2";

pub struct Keycloak {
    /// As the API shows them; a PUT replaces a user as a whole.
    pub users: Vec<Value>,
    pub sessions: usize,
    /// Tokens given out; only the newest is good.
    pub tokens: usize,
}

impl Keycloak {
    pub fn new() -> Keycloak {
        let alice = json!({
            "id": ALICE, "username": "alice", "enabled": true, "email": "alice@example.com",
            "attributes": { "team": ["blue"] }, "requiredActions": [],
        });
        Keycloak { users: vec![alice], sessions: 3, tokens: 0 }
    }

    fn grant(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("content-type") != "application/x-www-form-urlencoded" {
            return Err("a form is expected".to_owned());
        }
        let mut form: Vec<(String, String)> = url::form_urlencoded::parse(asked.text.as_bytes()).into_owned().collect();
        form.sort();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let right = [
            pair("client_id", "gatewatch"),
            pair("client_secret", "not-a-real-secret"),
            pair("grant_type", "client_credentials"),
        ];
        if form != right {
            return Ok((401, json!({ "error": "invalid_client", "error_description": "Invalid client credentials" })));
        }
        self.tokens += 1;
        let token = format!("not-a-real-token-{}", self.tokens);
        Ok((200, json!({ "access_token": token, "expires_in": 300, "token_type": "Bearer" })))
    }
}

impl Edge for Keycloak {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        let route = asked.route();
        if route == ("POST", vec!["realms", "shop", "protocol", "openid-connect", "token"]) {
            return self.grant(asked);
        }
        if asked.header("authorization") != format!("Bearer not-a-real-token-{}", self.tokens) {
            return Ok((401, json!({ "error": "HTTP 401 Unauthorized" })));
        }
        let not_found = Ok((404, json!({ "error": "User not found" })));
        let (method, ["admin", "realms", "shop", "users", rest @ ..]) = (route.0, route.1.as_slice()) else {
            return Err("no such path".to_owned());
        };
        if let ("GET", []) = (method, rest) {
            let name = asked.query("username").ok_or("username")?.to_lowercase();
            if asked.query("exact") != Some("true") {
                return Err("without exact=true it finds parts of names".to_owned());
            }
            return Ok((200, self.users.iter().filter(|user| user["username"] == name).cloned().collect()));
        }
        let Some(user) =
            self.users.iter_mut().find(|user| Some(user["id"].as_str().expect("an id")) == rest.first().copied())
        else {
            return not_found;
        };
        match (method, &rest[1..]) {
            ("GET", []) => Ok((200, user.clone())),
            ("PUT", []) => {
                let body = asked.json();
                if body["id"] != user["id"] || !body["enabled"].is_boolean() {
                    return Err(format!("a user that is not whole: {body}"));
                }
                *user = body;
                Ok((204, Value::Null))
            }
            ("POST", ["logout"]) => {
                self.sessions = 0;
                Ok((204, Value::Null))
            }
            _ => Err("no such path".to_owned()),
        }
    }
}
