//! A real Keycloak for tests, through `scripts/keycloak.sh`: each test has a realm of its own, with the client that our
//! documentation asks for and people who can log in.
//!
//! Promises: what is told of users and sessions is asked back from Keycloak itself, as its administrator.
//! Never: skips: a server that cannot be had is a failed test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::run;

/// Of our client `gatewatch`; `orders::target` makes it of `{ env: secret }`.
pub const SECRET: &str = "not-a-real-secret";
/// Of everybody in a realm.
const PASSWORD: &str = "not-a-password";
/// Of the realm `master`, as the script makes it.
const ADMIN: [(&str, &str); 4] =
    [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", "not-a-secret")];
/// For one answer, on a machine that is busy with other things.
const WAIT: Duration = Duration::from_secs(300);

pub struct Keycloak {
    folder: TempDir,
    url: String,
}

impl Keycloak {
    /// The server that tests share while any of them runs.
    fn shared() -> Arc<Keycloak> {
        static SHARED: Mutex<Weak<Keycloak>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let url = run(script("start").arg(folder.path())).trim().to_owned();
            let server = Arc::new(Keycloak { folder, url });
            *shared = Arc::downgrade(&server);
            server
        })
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        let _ = script("stop").arg(self.folder.path()).output();
    }
}

fn script(verb: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/keycloak.sh"));
    command.arg(verb);
    command
}

pub struct Realm {
    server: Arc<Keycloak>,
    name: String,
    client: Client,
    token: tokio::sync::Mutex<String>,
}

impl Realm {
    /// A realm with these people, enabled, each with a password. Its clients: `gatewatch` as our documentation asks for it,
    /// `roleless` (secret `not-a-real-roleless`) with a service account that may do nothing, and `shop`, by which people
    /// log in.
    pub async fn new(people: &[&str]) -> Realm {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        super::install_crypto();
        let server = tokio::task::spawn_blocking(Keycloak::shared).await.expect("Keycloak starts");
        let name = format!("gatewatch-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Of this test's runtime, with which its connections end.
        let client = Client::builder().no_proxy().timeout(WAIT).build().expect("a client");
        let realm = Realm { server, name, client, token: tokio::sync::Mutex::default() };
        let mut users: Vec<Value> = people.iter().enumerate().map(|(n, name)| person(n, name)).collect();
        users.push(json!({
            "username": "service-account-gatewatch", "enabled": true, "serviceAccountClientId": "gatewatch",
            "clientRoles": { "realm-management": ["manage-users"] },
        }));
        let wanted = json!({
            "realm": realm.name, "enabled": true, "eventsEnabled": true, "accessTokenLifespan": 300,
            // Nobody attacks these passwords.
            "passwordPolicy": "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
            "clients": [
                service("gatewatch", SECRET),
                service("roleless", "not-a-real-roleless"),
                { "clientId": "shop", "publicClient": true, "directAccessGrantsEnabled": true },
            ],
            "users": users,
        });
        let made = realm.ask(Method::POST, "", Some(&wanted)).await;
        assert_eq!(made, (201, Value::Null));
        // A token from before knows nothing of the new realm.
        realm.token.lock().await.clear();
        realm
    }

    pub fn url(&self) -> &str {
        &self.server.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// As the administrator: below `/admin/realms/`.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}/admin/realms/{path}", self.url());
        let mut token = self.token.lock().await;
        loop {
            // Before the first call there is none, and it does not last long.
            let had_one = !token.is_empty();
            if !had_one {
                let (status, granted) = self.grant("master", &ADMIN).await;
                assert_eq!(status, 200, "{granted}");
                *token = text(&granted["access_token"]);
            }
            let mut request = self.client.request(method.clone(), &url).bearer_auth(&*token);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await.expect("Keycloak answers");
            if answer.status() == 401 && had_one {
                token.clear();
                continue;
            }
            let status = answer.status().as_u16();
            return (status, answer.json().await.unwrap_or_default());
        }
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// A change that Keycloak takes.
    async fn change(&self, method: Method, path: &str, body: &Value) {
        let (status, value) = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {value}");
    }

    async fn own(&self, path: &str) -> Value {
        self.get(&format!("{}/{path}", self.name)).await
    }

    /// What the token endpoint of a realm answers.
    async fn grant(&self, realm: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/token", self.url());
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.expect("Keycloak answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    /// A session, by name and password: its refresh token, or why there is none.
    pub async fn log_in(&self, name: &str) -> Result<String, String> {
        let form = [("grant_type", "password"), ("client_id", "shop"), ("username", name), ("password", PASSWORD)];
        match self.grant(&self.name, &form).await {
            (200, granted) => Ok(text(&granted["refresh_token"])),
            (_, refusal) => Err(text(&refusal["error_description"])),
        }
    }

    /// Whether a session goes on.
    pub async fn goes_on(&self, refresh_token: &str) -> bool {
        let form = [("grant_type", "refresh_token"), ("client_id", "shop"), ("refresh_token", refresh_token)];
        self.grant(&self.name, &form).await.0 == 200
    }

    /// All that Keycloak tells of a user, whose name is as Keycloak keeps it.
    pub async fn user(&self, name: &str) -> Value {
        let id = self.id(name).await;
        self.own(&format!("users/{id}")).await
    }

    pub async fn id(&self, name: &str) -> String {
        let pairs = [("username", name), ("exact", "true")];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let found = self.own(&format!("users?{query}")).await;
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{name}: {found}");
        text(&found[0]["id"])
    }

    pub async fn is_enabled(&self, name: &str) -> bool {
        self.user(name).await["enabled"].as_bool().expect("yes or no")
    }

    pub async fn sessions(&self, name: &str) -> usize {
        let id = self.id(name).await;
        self.own(&format!("users/{id}/sessions")).await.as_array().expect("a list").len()
    }

    /// Somebody enables or disables a user by hand.
    pub async fn set_enabled(&self, name: &str, enabled: bool) {
        let mut user = self.user(name).await;
        user["enabled"] = enabled.into();
        self.change(Method::PUT, &format!("{}/users/{}", self.name, text(&user["id"])), &user).await;
    }

    /// Users may have attributes that nobody declared, and this one has some.
    pub async fn give_attributes(&self, name: &str, attributes: &Value) {
        let mut profile = self.own("users/profile").await;
        profile["unmanagedAttributePolicy"] = "ENABLED".into();
        self.change(Method::PUT, &format!("{}/users/profile", self.name), &profile).await;
        let mut user = self.user(name).await;
        user["attributes"] = attributes.clone();
        self.change(Method::PUT, &format!("{}/users/{}", self.name, text(&user["id"])), &user).await;
    }

    /// From now on everybody needs a staff number, which nobody has.
    pub async fn need_a_staff_number(&self) {
        let mut profile = self.own("users/profile").await;
        profile["attributes"].as_array_mut().expect("a list").push(json!({
            "name": "staff", "required": { "roles": ["admin"] }, "permissions": { "view": ["admin"], "edit": ["admin"] },
        }));
        self.change(Method::PUT, &format!("{}/users/profile", self.name), &profile).await;
    }

    /// The keys that tokens are signed with are gone, and with them all tokens.
    pub async fn lose_keys(&self) {
        let keys = self.own("components?type=org.keycloak.keys.KeyProvider").await;
        for key in keys.as_array().expect("a list").iter().filter(|key| key["providerId"] == "rsa-generated") {
            let path = format!("{}/components/{}", self.name, text(&key["id"]));
            assert_eq!(self.ask(Method::DELETE, &path, None).await.0, 204);
        }
    }

    /// How many tokens our client was given.
    pub async fn tokens_given(&self) -> usize {
        let events = self.own("events?type=CLIENT_LOGIN&client=gatewatch&max=1000").await;
        events.as_array().expect("a list").len()
    }

    /// The service account of a client may manage the users of this realm.
    pub async fn allow(&self, of_realm: &str, client: &str, role_of: &str) {
        let account = self.client_of(of_realm, client).await;
        let account = self.get(&format!("{of_realm}/clients/{account}/service-account-user")).await;
        let role_of = self.client_of(of_realm, role_of).await;
        let role = self.get(&format!("{of_realm}/clients/{role_of}/roles/manage-users")).await;
        let path = format!("{of_realm}/users/{}/role-mappings/clients/{role_of}", text(&account["id"]));
        self.change(Method::POST, &path, &json!([role])).await;
    }

    /// A client in the realm `master`, with our secret and without a role; its id.
    pub async fn client_in_master(&self) -> String {
        self.change(Method::POST, "master/clients", &service(&self.name, SECRET)).await;
        self.name.clone()
    }

    async fn client_of(&self, realm: &str, id: &str) -> String {
        text(&self.get(&format!("{realm}/clients?clientId={id}")).await[0]["id"])
    }
}

fn service(client: &str, secret: &str) -> Value {
    json!({ "clientId": client, "secret": secret, "serviceAccountsEnabled": true, "standardFlowEnabled": false })
}

fn person(n: usize, name: &str) -> Value {
    json!({
        "username": name, "enabled": true, "email": format!("person-{n}@example.com"), "emailVerified": true,
        "firstName": "A.", "lastName": "Example", "credentials": [{ "type": "password", "value": PASSWORD }],
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
