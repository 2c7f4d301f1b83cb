//! What an OpenAPI document says of each operation besides that it is there: deprecated, whose, how risky.
//!
//! Promises: an operation has the name that its endpoint has in events; below several servers it is there once for each base path.
//! What is said of a path counts for its operations that say nothing.
//! Never: follows a reference to another file.

use serde_json::Value;

use super::openapi::{Base, bases, document};
use super::{TemplateError, Templates};
use crate::route::pattern::Pattern;

/// One operation of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// The path below the server, as in `endpoint`.
    pub template: String,
    pub deprecated: bool,
    /// `x-owner`.
    pub owner: Option<String>,
    /// `x-risk-class`.
    pub risk: Option<String>,
}

impl Templates {
    /// The operations of an OpenAPI 3.x document; `file` is its name in errors.
    pub fn operations(text: &str, file: &str) -> Result<Vec<Operation>, TemplateError> {
        let error = |message| TemplateError { file: file.to_string(), line: 1, column: 1, message };
        let (paths, servers) = document(text, file)?;
        let mut all: Vec<Operation> = Vec::new();
        for (path, item) in &paths {
            let of_item = item.servers.as_deref().map(|own| bases(Some(own))).transpose().map_err(error)?;
            for (method, operation) in item.operations() {
                let own = operation.servers.as_deref().map(|own| bases(Some(own))).transpose().map_err(error)?;
                let below: &[Base] = own.as_deref().or(of_item.as_deref()).unwrap_or(&servers);
                for base in below {
                    let pattern = Pattern::parse(&format!("{}{path}", base.path));
                    let pattern = pattern.map_err(|message| error(format!("{path:?}: {message}")))?;
                    let one = Operation {
                        method: method.to_string(),
                        template: pattern.text.to_string(),
                        deprecated: operation.deprecated == Some(Value::Bool(true)),
                        owner: operation.owner.as_ref().or(item.owner.as_ref()).map(plain),
                        risk: operation.risk.as_ref().or(item.risk.as_ref()).map(plain),
                    };
                    // The same below several hosts.
                    if !all.contains(&one) {
                        all.push(one);
                    }
                }
            }
        }
        Ok(all)
    }
}

/// An extension may hold anything.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "openapi: 3.1.0
servers:
  - url: https://api.shop.example/v1
  - url: https://eu.shop.example/v1
paths:
  /orders/{id}:
    x-owner: orders
    get:
      deprecated: true
      x-risk-class: high
    put: { x-owner: { team: billing } }
  /status:
    servers: [{ url: / }]
    get: {}
";

    #[test]
    fn what_a_document_says_of_its_operations() {
        let told: Vec<_> = Templates::operations(SHOP, "shop.yaml")
            .expect("a document")
            .into_iter()
            .map(|one| (one.method, one.template, one.deprecated, one.owner, one.risk))
            .collect();
        let text = |text: &str| text.to_string();
        assert_eq!(
            told,
            [
                (text("GET"), text("/v1/orders/{id}"), true, Some(text("orders")), Some(text("high"))),
                (text("PUT"), text("/v1/orders/{id}"), false, Some(text("{\"team\":\"billing\"}")), None),
                (text("GET"), text("/status"), false, None, None),
            ]
        );
        let error = Templates::operations("openapi: 2.0\npaths: {}\n", "old.yaml").expect_err("an old one");
        assert_eq!(error.to_string(), "old.yaml:1:1: openapi: expected a version 3.x");
    }
}
