-- What is done about an alert can be decided again while it is open: what its detector asks for is kept with it.
ALTER TABLE incident_alerts ADD COLUMN asked TEXT;  -- kinds of action, as a JSON list; NULL: told by an older version

-- What is due before new containments: what keeps one up, and undoings.
CREATE INDEX outbox_first ON outbox (target, next_attempt_us, n) WHERE state = 'pending' AND urgency = 0 AND (renews OR op = 'revert');

-- Alerts about which it is to be decided again.
CREATE TABLE to_plan (
    place     INTEGER NOT NULL,               -- the worst first
    alert_id  TEXT    NOT NULL,
    withdraws INTEGER NOT NULL,               -- the policy or its detector changed: what is not asked for any more is withdrawn
    PRIMARY KEY (place, alert_id)
) WITHOUT ROWID;

-- The policy, and what else decides, as it was when all open alerts were last looked at; its hash.
CREATE TABLE planned_by (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    policy TEXT    NOT NULL
);

-- How long each alert wants it to last, and whether it wants that in the place of a block that would hit others.
ALTER TABLE wanted_by ADD COLUMN ttl_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wanted_by ADD COLUMN instead INTEGER NOT NULL DEFAULT 0;
-- The policy, or its detector, asks for it no longer; kept for the sake of what people say of it.
ALTER TABLE wanted_by ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
CREATE INDEX wanted_by_ttl ON wanted_by (kind, entity_kind, entity_value, ttl_us);
UPDATE wanted_by SET ttl_us = coalesce((SELECT w.ttl_us FROM wanted AS w WHERE w.kind = wanted_by.kind
    AND w.entity_kind = wanted_by.entity_kind AND w.entity_value = wanted_by.entity_value), 0);
UPDATE wanted_by SET instead = 1 WHERE kind <> 'block' AND EXISTS (SELECT 1 FROM wanted_by AS b
    WHERE b.kind = 'block' AND b.alert_id = wanted_by.alert_id);

-- The longest that it lasts at a time while little is known of who else is behind it.
ALTER TABLE wanted ADD COLUMN ttl_max_us INTEGER NOT NULL DEFAULT 9223372036854775807;
UPDATE wanted SET ttl_max_us = ttl_us WHERE ttl_us = 900000000;
