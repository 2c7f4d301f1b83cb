//! Asking an HTTP API: one call whose refusal is already the outcome of the attempt, and the reading of its answer.
//!
//! Promises: an `Err` is what the outbox is to be told; an answer that holds a secret can be read without showing it.
//! Never: decides what an answer means beyond its status; each target's documentation does that.

use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;

use crate::respond::http::{self, Answer};
use crate::respond::target::{Delivery, Order};

/// A 2xx; anything else is judged by its status.
pub async fn ask(request: RequestBuilder, who: &str, now_us: i64) -> Result<Answer, Delivery> {
    let answer = http::send(request, now_us).await.map_err(|reason| Delivery::retry(format!("{who}: {reason}")))?;
    if answer.status.is_success() { Ok(answer) } else { Err(http::judge(&answer, who)) }
}

/// What a 2xx said. One that cannot be understood may be another server's, in front of the right one: it passes.
pub fn read<T: DeserializeOwned>(answer: &Answer, who: &str) -> Result<T, Delivery> {
    serde_json::from_slice(&answer.body).map_err(|error| Delivery::Retry {
        after: None,
        reason: format!("the answer of {who} was not understood: {}", place(&error)),
        answer: answer.text(),
    })
}

/// Where it went wrong, without a word of the text.
fn place(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

/// The address of a resource below a base; each segment is encoded for itself, whatever stands in it.
pub fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("http addresses have a path").pop_if_empty().extend(segments);
    url
}

/// The action whose effect is to be undone.
pub fn undone<'a>(order: &Order<'a>) -> &'a str {
    order.action.undoes.as_deref().unwrap_or(&order.action.id)
}

/// What all orders of a call come to: their own outcomes where the call succeeded, its failure where it did not. An order
/// that was refused for its own sake stays so.
pub fn settle(outcomes: Vec<Delivery>, called: Result<(), Delivery>) -> Vec<Delivery> {
    let Err(failure) = called else { return outcomes };
    let settled = outcomes.into_iter().map(|outcome| match outcome {
        Delivery::Delivered { .. } => failure.clone(),
        refused => refused,
    });
    settled.collect()
}
