//! A flood of incidents is told as one: above so many new ones within ten minutes people get a digest instead of a message each.
//!
//! Promises: a digest is an incident of its own, told when it begins, at its tenth, hundredth and thousandth, when one is worse than
//! all before or asks for more (a page), and when it closes.
//! A critical incident is always told by itself. Which incidents a digest stands for is on record, and so is each message that
//! it takes the place of. Time is that of the events, so a backlog is told as it would have been.
//! Never: holds back containment; leaves an incident out of the lists.

use schemas::alert::{Entity, Severity};
use schemas::incident::{Event, Status};
use sqlx::Row as _;

use super::action::{Action, hex_id};
use super::guard::{Reason, Verdict};
use super::incident::{Change, LISTED_MAX, Row, book};
use super::outbox::{Outbox, TakenIn, insert, locked, micros};
use super::plan::NO_TARGET;
use super::queue::{Queue, Tx};
use crate::store::StoreError;

/// Within so long.
const WINDOW_US: i64 = 600_000_000;
/// The kind of a digest's subject, and of the key by which an incident belongs to one.
const FLOOD: &str = "flood";

impl Outbox {
    /// Whether these messages of a change give way to a digest. `first_us`: when it happened, where they are the first word about it.
    pub(super) async fn is_one_of_many(
        &self,
        tx: &mut Tx,
        change: &Change,
        actions: &[Action],
        first_us: Option<i64>,
        now_us: i64,
    ) -> Result<bool, StoreError> {
        let (row, limit) = (&change.row, self.config.incidents.digest_after as usize);
        let is_old =
            now_us.saturating_sub(first_us.unwrap_or(row.updated_us)) > micros(self.config.guard.alert_age_max);
        let goes_out = actions.iter().any(|action| action.target != NO_TARGET);
        if limit == 0 || row.severity == Severity::Critical || row.subject.kind == FLOOD || is_old || !goes_out {
            return Ok(false);
        }
        let digest = if change.event == Some(Event::Open) { None } else { digest_of(tx, &row.id).await? };
        if digest.is_some_and(|digest| is_open(&digest) || !adds_to(&digest, row)) {
            return Ok(true);
        }
        // What a digest that is over has not said the incident says itself, or another digest.
        let Some(first_us) = first_us else { return Ok(false) };
        let mut opened = locked(&self.opened);
        let is_full = opened.len() >= limit;
        let over = is_full && opened.front().is_some_and(|first| first_us.saturating_sub(*first) < WINDOW_US);
        if is_full {
            opened.pop_front();
        }
        opened.push_back(first_us);
        Ok(over)
    }

    /// The digest in the place of these messages; what is to be told of it, if anything is. Of an incident that was digested
    /// only its beginning counts, and what makes it worse than all that the digest has told.
    pub(super) async fn digest(
        &self,
        tx: &mut Tx,
        change: &Change,
        actions: Vec<Action>,
        is_first: bool,
        now_us: i64,
        taken: &mut TakenIn,
    ) -> Result<Option<Change>, StoreError> {
        let digest = if change.event == Some(Event::Open) { None } else { digest_of(tx, &change.row.id).await? };
        if digest.as_ref().is_some_and(is_open) || !is_first {
            let grows = |digest: &Row| change.event == Some(Event::Updated) && adds_to(digest, &change.row);
            let Some(mut row) = digest.filter(grows) else { return Ok(None) };
            worsen(&mut row, &change.row, now_us);
            row.revision += 1;
            book::write(tx, &row).await?;
            return Ok(Some(Change { row, event: Some(Event::Updated), alert: None }));
        }
        let sql = "SELECT incident_id FROM incidents WHERE subject_kind = ? AND status <> 'closed' AND verdict IS NULL \
                   AND dry_run = ? ORDER BY n DESC LIMIT 1";
        let open = sqlx::query(sql).bind(FLOOD).bind(change.row.dry_run).fetch_optional(&mut **tx).await?;
        let open: Option<String> = open.map(|row| row.try_get(0)).transpose()?;
        let known = match open {
            Some(id) => book::row(tx, &id).await?,
            None => None,
        };
        let (row, event) = joined(known, &change.row, now_us);
        book::write(tx, &row).await?;
        let sql =
            "INSERT INTO incident_keys (kind, value, incident_id, last_us) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(FLOOD).bind(&row.id).bind(&change.row.id).bind(row.updated_us);
        query.execute(&mut **tx).await?;
        for action in actions {
            if !Queue::knows(tx, &action.id).await? {
                let words = format!("one of a flood of incidents: {} tells of it", row.id);
                let steps = insert(tx, &action, Verdict::Suppress(Reason::Flood, words)).await?;
                taken.new.push((action, steps));
            }
        }
        Ok(event.map(|event| Change { row, event: Some(event), alert: None }))
    }
}

/// The digest that tells of this incident, if one does.
async fn digest_of(tx: &mut Tx, incident_id: &str) -> Result<Option<Row>, StoreError> {
    let sql = "SELECT value FROM incident_keys WHERE incident_id = ? AND kind = ? ORDER BY last_us DESC LIMIT 1";
    let found = sqlx::query(sql).bind(incident_id).bind(FLOOD).fetch_optional(&mut **tx).await?;
    let Some(digest) = found.map(|row| row.try_get::<String, _>(0)).transpose()? else { return Ok(None) };
    book::row(tx, &digest).await
}

fn is_open(digest: &Row) -> bool {
    digest.status != Status::Closed && digest.verdict.is_none()
}

/// Whether this incident is worse than all that the digest tells of, or asks for what none of them asked for: a page.
fn adds_to(digest: &Row, one: &Row) -> bool {
    one.severity > digest.severity || one.kinds.iter().any(|kind| !digest.kinds.contains(kind))
}

/// The digest with what this incident adds to it.
fn worsen(digest: &mut Row, one: &Row, now_us: i64) {
    digest.severity = digest.severity.max(one.severity);
    (digest.updated_us, digest.changed_us) = (digest.updated_us.max(one.updated_us), now_us);
    // It closes when no more came for a while.
    digest.quiet_us = Some(now_us);
    one.kinds.iter().for_each(|kind| add(&mut digest.kinds, kind));
    one.detectors.iter().for_each(|name| add(&mut digest.detectors, name));
    one.tenants.iter().for_each(|name| add(&mut digest.tenants, name));
    one.entities.iter().for_each(|entity| add(&mut digest.entities, entity));
}

/// The digest with one more incident, and whether that is worth a word.
fn joined(known: Option<Row>, one: &Row, now_us: i64) -> (Row, Option<Event>) {
    let (is_new, is_worse) = (known.is_none(), known.as_ref().is_some_and(|known| adds_to(known, one)));
    let revision = one.revision.to_string();
    // One incident may begin several: when it opens, and when it is told to others.
    let of = if one.revision == 0 { vec![FLOOD, &one.id] } else { vec![FLOOD, &one.id, &revision] };
    let mut row = known.unwrap_or_else(|| Row {
        id: format!("in-{}", hex_id(&of)),
        revision: 0,
        status: Status::Open,
        subject: Entity { kind: FLOOD.to_owned(), value: String::new() },
        opened_us: one.updated_us,
        alerts: 0,
        alerts_open: 0,
        assignee: None,
        verdict: None,
        ..one.clone()
    });
    row.alerts += 1;
    row.title = format!("{} more incidents in a flood, see gatewatch incidents list", row.alerts);
    worsen(&mut row, one, now_us);
    let event = match row.alerts {
        _ if is_new => Some(Event::Open),
        _ if is_worse => Some(Event::Updated),
        10 | 100 | 1_000 | 10_000 => Some(Event::Updated),
        _ => None,
    };
    row.revision += u32::from(event == Some(Event::Updated));
    (row, event)
}

fn add<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) {
    if list.len() < LISTED_MAX && !list.contains(item) {
        list.push(item.clone());
    }
}
