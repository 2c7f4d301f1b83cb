//! WAFv2's two calls for one IP set: an update must name the lock token of the newest reading.

use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

pub const SET: &str = "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";

#[derive(Default)]
pub struct AwsWaf {
    pub addresses: Vec<String>,
    version: u64,
}

impl AwsWaf {
    /// Somebody else writes the set.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<String>)) {
        change(&mut self.addresses);
        self.version += 1;
    }

    fn token(&self) -> String {
        format!("00000000-0000-0000-0000-{:012}", self.version)
    }
}

impl Edge for AwsWaf {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        let signed = asked.header("authorization");
        if !signed.starts_with("AWS4-HMAC-SHA256 Credential=not-a-real-key/")
            || !signed.contains("/eu-central-1/wafv2/")
        {
            return Ok((400, json!({ "__type": "UnrecognizedClientException" })));
        }
        let body = asked.json();
        if (body["Id"].as_str(), body["Name"].as_str(), body["Scope"].as_str())
            != (Some(SET), Some("four"), Some("REGIONAL"))
        {
            return Ok((400, json!({ "__type": "WAFNonexistentItemException" })));
        }
        match asked.header("x-amz-target") {
            "AWSWAF_20190729.GetIPSet" => {
                keys(&body, &["Name", "Scope", "Id"], &[])?;
                let set = json!({ "Name": "four", "Id": SET, "Addresses": self.addresses, "IPAddressVersion": "IPV4",
                    "Description": "by A. Example" });
                Ok((200, json!({ "IPSet": set, "LockToken": self.token() })))
            }
            "AWSWAF_20190729.UpdateIPSet" => {
                keys(&body, &["Name", "Scope", "Id", "Addresses", "LockToken"], &["Description"])?;
                if text(&body, "LockToken")? != self.token() {
                    return Ok((400, json!({ "__type": "WAFOptimisticLockException" })));
                }
                let list = body["Addresses"].as_array().ok_or("`Addresses` is a list")?;
                let address = |value: &Value| value.as_str().filter(|text| text.contains('/')).map(str::to_owned);
                let list: Option<Vec<String>> = list.iter().map(address).collect();
                self.addresses = list.ok_or("an address without its prefix")?;
                self.version += 1;
                Ok((200, json!({ "NextLockToken": self.token() })))
            }
            other => Err(format!("x-amz-target {other}")),
        }
    }
}
