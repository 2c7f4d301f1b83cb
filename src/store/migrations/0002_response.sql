-- An action may undo another one, belongs to an incident, may prolong what is in force, and waits by urgency.
ALTER TABLE outbox ADD COLUMN op TEXT NOT NULL DEFAULT 'apply';
ALTER TABLE outbox ADD COLUMN undoes TEXT;
ALTER TABLE outbox ADD COLUMN incident_id TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN renews INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN about_us INTEGER;              -- event time of what led to it
ALTER TABLE outbox ADD COLUMN urgency INTEGER NOT NULL DEFAULT 3; -- 0 containment, 1 page, 2 case, 3 notify
DROP INDEX outbox_due;
CREATE INDEX outbox_due      ON outbox (target, urgency, next_attempt_us, n) WHERE state = 'pending';
CREATE INDEX outbox_incident ON outbox (incident_id, n);
CREATE INDEX outbox_thread   ON outbox (target, queue, n);
CREATE INDEX outbox_undoes   ON outbox (undoes) WHERE undoes IS NOT NULL;

ALTER TABLE action_steps ADD COLUMN op TEXT NOT NULL DEFAULT 'apply';
ALTER TABLE action_steps ADD COLUMN incident_id TEXT NOT NULL DEFAULT '';

-- What people work on: the alerts of one attacker.
CREATE TABLE incidents (
    n             INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id   TEXT    NOT NULL UNIQUE,
    revision      INTEGER NOT NULL,          -- of the newest message about it
    status        TEXT    NOT NULL,          -- open, acknowledged, closed
    title         TEXT    NOT NULL,
    severity      TEXT    NOT NULL,
    score         REAL    NOT NULL,          -- at score_us, halved with each half-life since
    score_us      INTEGER NOT NULL,
    subject_kind  TEXT    NOT NULL,
    subject_value TEXT    NOT NULL,
    opened_us     INTEGER NOT NULL,          -- of its alerts, in event time
    updated_us    INTEGER NOT NULL,
    changed_us    INTEGER NOT NULL,          -- when it last changed here
    quiet_us      INTEGER,                   -- since when none of its alerts is open
    alerts        INTEGER NOT NULL,
    alerts_open   INTEGER NOT NULL,
    entities      TEXT    NOT NULL,          -- JSON lists, bounded
    detectors     TEXT    NOT NULL,
    tenants       TEXT    NOT NULL,
    owasp         TEXT    NOT NULL,
    attack        TEXT    NOT NULL,
    kinds         TEXT    NOT NULL,          -- the messages it was asked for so far
    assignee      TEXT,
    verdict       TEXT,
    dry_run       INTEGER NOT NULL
);
CREATE INDEX incidents_status ON incidents (status, updated_us);

-- The newest telling of each alert, and whose it is.
CREATE TABLE incident_alerts (
    alert_id     TEXT    PRIMARY KEY,
    incident_id  TEXT    NOT NULL,           -- empty: a suppression held it back
    revision     INTEGER NOT NULL,
    state        TEXT    NOT NULL,           -- open, updated, closed
    detector     TEXT    NOT NULL,
    severity     TEXT    NOT NULL,
    entity_kind  TEXT    NOT NULL,
    entity_value TEXT    NOT NULL,
    opened_us    INTEGER NOT NULL,
    updated_us   INTEGER NOT NULL,
    changed_us   INTEGER NOT NULL,
    body         BLOB    NOT NULL
) WITHOUT ROWID;
CREATE INDEX incident_alerts_of ON incident_alerts (incident_id, opened_us);
CREATE INDEX incident_alerts_time ON incident_alerts (changed_us);
CREATE INDEX incident_alerts_entity ON incident_alerts (entity_kind, entity_value, state);

-- What alerts of one attacker have in common.
CREATE TABLE incident_keys (
    kind        TEXT    NOT NULL,
    value       TEXT    NOT NULL,
    incident_id TEXT    NOT NULL,
    last_us     INTEGER NOT NULL,            -- event time at which it was last seen
    PRIMARY KEY (kind, value, incident_id)
) WITHOUT ROWID;
CREATE INDEX incident_keys_of ON incident_keys (incident_id);

-- What people did to incidents and said about them.
CREATE TABLE incident_notes (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT    NOT NULL,
    time_us     INTEGER NOT NULL,
    actor       TEXT    NOT NULL,
    what        TEXT    NOT NULL,
    text        TEXT    NOT NULL
);
CREATE INDEX incident_notes_of ON incident_notes (incident_id, n);

-- Entities whose alerts become no incident for a while.
CREATE TABLE suppressions (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    detector     TEXT,                       -- a pattern; NULL: any
    entity_kind  TEXT    NOT NULL,
    entity_value TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    created_us   INTEGER NOT NULL,
    expires_us   INTEGER NOT NULL
);

-- Addresses and networks that are never blocked, besides those of the configuration.
CREATE TABLE never_block (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    entity     TEXT    NOT NULL UNIQUE,
    owner      TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER                       -- NULL: until it is removed
);

-- The emergency stop: a row while it is pulled.
CREATE TABLE halt (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    actor    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    since_us INTEGER NOT NULL,
    lift     INTEGER NOT NULL                -- undo what is in force, too
);

-- Desired state: what is to be kept from whom, while its incident lasts.
CREATE TABLE wanted (
    kind         TEXT    NOT NULL,           -- block, revoke, throttle
    entity_kind  TEXT    NOT NULL,
    entity_value TEXT    NOT NULL,
    incident_id  TEXT    NOT NULL,
    alert_id     TEXT    NOT NULL,
    detector     TEXT    NOT NULL,
    state        TEXT    NOT NULL,           -- active, ending (no longer renewed), lift (to be undone)
    since_us     INTEGER NOT NULL,
    attack_us    INTEGER NOT NULL,           -- event time at which the attack was last told
    ttl_us       INTEGER NOT NULL,
    approve      INTEGER NOT NULL,           -- a person has to agree first
    held         TEXT,                       -- why it is not in force
    body         BLOB    NOT NULL,
    dry_run      INTEGER NOT NULL,
    severity     TEXT    NOT NULL,
    PRIMARY KEY (kind, entity_kind, entity_value)
) WITHOUT ROWID;
CREATE INDEX wanted_incident ON wanted (incident_id);

-- How often somebody was contained, for escalation.
CREATE TABLE offences (
    entity   TEXT    NOT NULL,
    since_us INTEGER NOT NULL,
    PRIMARY KEY (entity, since_us)
) WITHOUT ROWID;
