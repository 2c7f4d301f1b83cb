//! Who else is behind those who are to be blocked: asked beside the control loop, remembered for a while.
//!
//! Promises: nothing waits for an answer but the block it is about. Several are asked for at once, no more of them than may be
//! blocked within the hour; what cannot be found out is tried again for half a minute, and then a person is asked. An answer says
//! how much of the time before is known, so that what nobody has seen is not taken for an empty place.
//! Never: holds a transaction while it asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::guard::Behind;
use super::incident::micros_of;
use super::outbox::{Clock, Outbox, locked};
use super::scope::Scope;
use super::wanted::Wanted;

/// Whom to look behind: who was there in the day before that time. What came later may be the attack itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub scope: Scope,
    pub before_us: i64,
    /// When the alert opened: what was read until then is stored with the next checkpoint.
    pub opened_us: i64,
    /// Endpoints that are known to ask who somebody is: the alert was about refusals there.
    pub checking: Vec<String>,
}

impl Question {
    pub(super) fn of(scope: Scope, wanted: &Wanted) -> Question {
        let Some(alert) = wanted.alert() else {
            let (before_us, opened_us) = (wanted.attack_us, wanted.attack_us);
            return Question { scope, before_us, opened_us, checking: Vec::new() };
        };
        let opened_us = micros_of(&alert.opened).unwrap_or(wanted.attack_us).min(wanted.attack_us);
        let before_us = micros_of(&alert.window.start).map_or(opened_us, |start_us| start_us.min(opened_us));
        let values = |list: &str| alert.evidence[list].as_array().cloned().unwrap_or_default();
        let refusals: f64 =
            values("statuses").iter().filter(|it| it["value"] == "401").filter_map(|it| it["count"].as_f64()).sum();
        let are_all = refusals > 0.0 && alert.evidence["counted"].as_f64() == Some(refusals);
        let names = values("endpoints").into_iter().filter_map(|it| it["value"].as_str().map(str::to_owned));
        Question { scope, before_us, opened_us, checking: if are_all { names.collect() } else { Vec::new() } }
    }

    /// Whether enough is known of the time before the attack: then who was not seen in it is not there.
    pub fn is_about_known_times(&self, known: Option<(i64, i64)>) -> bool {
        known.is_some_and(|(first_us, last_us)| last_us.min(self.before_us).saturating_sub(first_us) >= KNOWN_MIN_US)
    }

    /// What an answer is worth to somebody who has waited for so long.
    pub(super) fn grasp(&self, known: Option<(i64, i64)>, waited_us: u64) -> Grasp {
        let reaches = |time_us: i64| known.is_some_and(|(_, last_us)| last_us >= time_us);
        if self.is_about_known_times(known) {
            Grasp::Day
        } else if reaches(self.opened_us) {
            Grasp::Little
        } else if waited_us < WAIT_US {
            Grasp::NotYet
        } else if reaches(self.before_us) {
            Grasp::Little
        } else {
            Grasp::Nothing
        }
    }
}

/// How much an answer knows of the time that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grasp {
    /// Of the day before the attack, an hour at least.
    Day,
    /// Less than that, as after an installation; but all that was read until the alert.
    Little,
    /// What was read is not stored yet: it is waited for.
    NotYet,
    /// It was waited for in vain.
    Nothing,
}

/// Who else is behind addresses, by what the lake knows of the day before.
pub trait Bystanders: Send + Sync {
    /// As many answers as questions, in their order.
    fn behind<'a>(&'a self, asked: &'a [Question], now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>>;

    /// The credentials, as tokens, with which a gateway let these principals in within the last day: (credential, principal).
    fn credentials<'a>(&'a self, _of: &'a [String], _now_us: i64) -> BoxFuture<'a, Result<Vec<Owned>, String>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}

/// A credential, as a token, and whose it is.
pub type Owned = (String, String);

/// For so long an answer holds.
const KEPT_US: u64 = 600_000_000;
/// Less of the time before an attack is little.
const KNOWN_MIN_US: i64 = 3_600_000_000;
/// For so long a block waits until what was read before it is stored, and for an answer from a lake that is slow or fails.
pub(super) const WAIT_US: u64 = 30_000_000;
/// An answer that knows little, or nothing, is out of date so soon.
const AGAIN_US: u64 = 1_000_000;
/// That nobody answered counts for so long for who has waited: a round of many questions that each time out takes as long.
const FAILED_US: u64 = 60_000_000;
/// So long lasts what is put in force on little knowledge, before it is renewed.
pub(super) const LITTLE_TTL_US: i64 = 900_000_000;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions that are asked at once.
const AT_ONCE: usize = 64;
/// Answers that are remembered; all are forgotten beyond.
const ANSWERS_MAX: usize = 10_000;

/// When it was answered, and how.
type Answer = (i64, Result<Behind, String>);

#[derive(Default)]
pub(super) struct Preflight {
    source: Option<Arc<dyn Bystanders>>,
    /// By scope.
    known: Mutex<HashMap<Scope, Answer>>,
    open: Mutex<Vec<Question>>,
    asked: Notify,
}

impl Preflight {
    pub fn of(source: Arc<dyn Bystanders>) -> Preflight {
        Preflight { source: Some(source), ..Preflight::default() }
    }

    /// Whether anybody can be asked.
    pub fn asks(&self) -> bool {
        self.source.is_some()
    }

    /// What is known for somebody who has waited for so long.
    pub fn known(&self, question: &Question, waited_us: u64, now_us: i64) -> Option<Result<Behind, String>> {
        let known = locked(&self.known);
        let (at_us, found) = known.get(&question.scope)?;
        let lasts_us = match found {
            Ok(behind) if question.is_about_known_times(behind.known) => KEPT_US,
            Err(_) if waited_us >= WAIT_US => FAILED_US,
            _ => AGAIN_US,
        };
        (now_us.abs_diff(*at_us) < lasts_us).then(|| found.clone())
    }

    /// See `Bystanders`; bounded in time.
    pub async fn credentials(&self, of: &[String], now_us: i64) -> Result<Vec<Owned>, String> {
        let Some(source) = &self.source else { return Ok(Vec::new()) };
        let found = tokio::time::timeout(TIMEOUT, source.credentials(of, now_us)).await;
        found.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
    }

    /// These are to be found out, and no others.
    fn ask(&self, questions: Vec<Question>) {
        *locked(&self.open) = questions;
        self.asked.notify_one();
    }

    /// Finds out; each answer is of the time at which it came.
    async fn find(&self, questions: &[Question], clock: &Clock) {
        let Some(source) = &self.source else { return };
        let now_us = clock();
        let unknown: Vec<Question> =
            questions.iter().filter(|question| self.known(question, 0, now_us).is_none()).cloned().collect();
        for questions in unknown.chunks(AT_ONCE) {
            let (source, asked, now_us) = (Arc::clone(source), questions.to_vec(), clock());
            // A task of its own: reading a lake is work, and the control loop shall not stand behind it.
            let mut task = JoinSet::new();
            task.spawn(async move { source.behind(&asked, now_us).await });
            let found = match tokio::time::timeout(TIMEOUT, task.join_next()).await {
                Ok(Some(Ok(Ok(found)))) if found.len() == questions.len() => Ok(found),
                Ok(Some(Ok(Err(error)))) => Err(error),
                Ok(_) => Err("the look-up broke off".to_owned()),
                Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
            };
            let at_us = clock();
            let mut known = locked(&self.known);
            if known.len() + questions.len() > ANSWERS_MAX {
                known.clear();
            }
            for (n, question) in questions.iter().enumerate() {
                let found = found.as_ref().map(|found| found[n]).map_err(String::clone);
                known.insert(question.scope, (at_us, found));
            }
        }
    }
}

impl Outbox {
    /// Hands over what a pass would like to know.
    pub(super) fn ask_behind(&self, questions: Vec<Question>) {
        self.preflight.ask(questions);
    }

    pub(super) async fn find_behind(&self, questions: &[Question]) {
        self.preflight.find(questions, &self.clock).await;
    }

    /// Finds out what passes would like to know until told to stop.
    pub(super) async fn keep_asking(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let open = std::mem::take(&mut *locked(&self.preflight.open));
            if open.is_empty() {
                tokio::select! {
                    _ = stop.changed() => {}
                    () = self.preflight.asked.notified() => {}
                }
                continue;
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = self.find_behind(&open) => self.wake.notify_one(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Bystanders for Broken {
        fn behind<'a>(&'a self, _: &'a [Question], _: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
            std::future::ready(Err("the lake is away".to_owned())).boxed()
        }
    }

    /// However many are asked about at once: the first ones of a long round are old when its last ones are answered.
    #[tokio::test]
    async fn that_nobody_answered_counts_for_who_has_waited() {
        let preflight = Preflight::of(Arc::new(Broken));
        let question = |n: u8| Question {
            scope: Scope::parse(&format!("203.0.113.{n}")).expect("an address"),
            before_us: 0,
            opened_us: 0,
            checking: Vec::new(),
        };
        let all: Vec<Question> = (0..200).map(question).collect();
        let clock: Clock = Arc::new(|| 0);
        preflight.find(&all, &clock).await;
        let known =
            |waited_us, now_us| all.iter().filter(|it| preflight.known(it, waited_us, now_us).is_some()).count();
        let later_us = 20_000_000;
        assert_eq!((known(0, 0), known(0, later_us), known(WAIT_US, later_us)), (200, 0, 200));
        assert_eq!(known(WAIT_US, 60_000_000), 0, "then it is asked again");
    }
}
