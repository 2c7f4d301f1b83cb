-- What is done about an alert can be decided again while it is open: what its detector asks for is kept with it.
ALTER TABLE incident_alerts ADD COLUMN asked TEXT;  -- kinds of action, as a JSON list; NULL: told by an older version

-- Open alerts about which it is to be decided again.
CREATE TABLE to_plan (
    alert_id TEXT PRIMARY KEY
) WITHOUT ROWID;

-- The policy, and what else decides, as it was when all open alerts were last looked at; its hash.
CREATE TABLE planned_by (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    policy TEXT    NOT NULL
);

-- How long each alert wants it to last, and whether it wants that in the place of a block that would hit others.
ALTER TABLE wanted_by ADD COLUMN ttl_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wanted_by ADD COLUMN instead INTEGER NOT NULL DEFAULT 0;
UPDATE wanted_by SET ttl_us = coalesce((SELECT w.ttl_us FROM wanted AS w WHERE w.kind = wanted_by.kind
    AND w.entity_kind = wanted_by.entity_kind AND w.entity_value = wanted_by.entity_value), 0);
UPDATE wanted_by SET instead = 1 WHERE kind <> 'block' AND EXISTS (SELECT 1 FROM wanted_by AS b
    WHERE b.kind = 'block' AND b.alert_id = wanted_by.alert_id);

-- The longest that it lasts at a time while little is known of who else is behind it.
ALTER TABLE wanted ADD COLUMN ttl_max_us INTEGER NOT NULL DEFAULT 9223372036854775807;
