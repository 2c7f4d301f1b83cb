-- The outbox: one row per action, kept after it has ended so that a retelling is recognised.
CREATE TABLE outbox (
    n               INTEGER PRIMARY KEY AUTOINCREMENT, -- order of insertion = order of delivery within a queue
    action_id       TEXT    NOT NULL UNIQUE,
    alert_id        TEXT    NOT NULL,
    detector        TEXT    NOT NULL,
    entity_kind     TEXT    NOT NULL,
    entity_value    TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    queue           TEXT    NOT NULL, -- actions of one queue at one target are delivered one after the other
    body            BLOB    NOT NULL,
    dry_run         INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_us INTEGER NOT NULL,
    created_us      INTEGER NOT NULL,
    expires_us      INTEGER,
    remote_ref      TEXT,
    last_answer     TEXT
);
CREATE INDEX outbox_due   ON outbox (target, next_attempt_us, n) WHERE state = 'pending';
CREATE INDEX outbox_queue ON outbox (target, queue, n) WHERE state = 'pending';
CREATE INDEX outbox_block ON outbox (created_us) WHERE kind = 'block';
CREATE INDEX outbox_entity ON outbox (target, queue, expires_us) WHERE kind = 'block';
CREATE INDEX outbox_ended ON outbox (created_us) WHERE state <> 'pending';

-- Every step of every action, append-only: the lake's `actions` table is read from here.
CREATE TABLE action_steps (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us      INTEGER NOT NULL,
    action_id    TEXT    NOT NULL,
    alert_id     TEXT    NOT NULL,
    detector     TEXT    NOT NULL,
    entity_kind  TEXT    NOT NULL,
    entity_value TEXT    NOT NULL,
    target       TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    step         TEXT    NOT NULL,
    dry_run      INTEGER NOT NULL,
    expires_us   INTEGER,
    detail       TEXT    NOT NULL,
    answer       TEXT    NOT NULL
);

-- The blocks that are in force, as far as we know.
CREATE TABLE blocks (
    entity     TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    action_id  TEXT    NOT NULL,
    expires_us INTEGER NOT NULL,
    PRIMARY KEY (entity, target, action_id)
) WITHOUT ROWID;
CREATE INDEX blocks_expiry ON blocks (target, expires_us);
