//! AWS's WAFv2 as moto has it: IP sets with lock tokens that are checked as AWS checks them. In memory; it does not look at
//! signatures, nor at what the addresses are.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Running, free_port};
use super::python::python_program;

pub struct Moto {
    port: u16,
    _server: Running,
}

impl Moto {
    /// Starts the server; its log goes below `folder`.
    pub fn start(folder: &Path) -> Moto {
        super::install_crypto();
        let port = free_port();
        let mut command = Command::new(python_program("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut server = Running::start("moto_server", &mut command, &folder.join("moto.log"));
        server.wait_for_http(port, "/moto-api/");
        Moto { port, _server: server }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new set; its id.
    pub async fn ip_set(&self, name: &str, version: &str, addresses: &[&str]) -> String {
        let body = json!({
            "Name": name, "Scope": "REGIONAL", "IPAddressVersion": version, "Addresses": addresses, "Description": "by A. Example",
        });
        let made = self.call("CreateIPSet", &body).await;
        made["Summary"]["Id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    pub async fn get(&self, name: &str, id: &str) -> Value {
        self.call("GetIPSet", &json!({ "Name": name, "Scope": "REGIONAL", "Id": id })).await
    }

    pub async fn addresses(&self, name: &str, id: &str) -> Vec<String> {
        let set = self.get(name, id).await;
        let list = set["IPSet"]["Addresses"].as_array().unwrap_or_else(|| panic!("{set}"));
        let mut list: Vec<String> = list.iter().map(|text| text.as_str().expect("text").to_owned()).collect();
        list.sort();
        list
    }

    pub async fn replace(&self, name: &str, id: &str, addresses: &[String]) {
        let token = self.get(name, id).await["LockToken"].clone();
        let body = json!({ "Name": name, "Scope": "REGIONAL", "Id": id, "Addresses": addresses, "LockToken": token });
        let done = self.call("UpdateIPSet", &body).await;
        assert!(done["NextLockToken"].is_string(), "{done}");
    }

    /// As the command line would: moto takes the service from the signature's scope.
    async fn call(&self, name: &str, body: &Value) -> Value {
        let scope = "AWS4-HMAC-SHA256 Credential=not-a-real-key/20260302/eu-central-1/wafv2/aws4_request, \
                     SignedHeaders=host, Signature=00";
        let request = reqwest::Client::builder().no_proxy().build().expect("a client").post(self.endpoint());
        let request = request.header("Authorization", scope).header("X-Amz-Target", format!("AWSWAF_20190729.{name}"));
        let request = request.header("Content-Type", "application/x-amz-json-1.1").body(body.to_string());
        request.send().await.expect("an answer").json().await.expect("JSON")
    }
}
