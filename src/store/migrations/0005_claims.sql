-- Which open alerts ask for what is wanted, and what of it a person let go.
CREATE TABLE wanted_by (
    kind         TEXT    NOT NULL,
    entity_kind  TEXT    NOT NULL,
    entity_value TEXT    NOT NULL,
    alert_id     TEXT    NOT NULL,
    approve      INTEGER NOT NULL,            -- a person has to agree first
    narrower     TEXT    NOT NULL,            -- the principal to whose revocation or throttling it gives way; '' where there is none
    let_go       INTEGER NOT NULL,            -- a person said no: remembered while the alert's incident lasts
    PRIMARY KEY (kind, entity_kind, entity_value, alert_id)
) WITHOUT ROWID;
CREATE INDEX wanted_by_alert ON wanted_by (alert_id);

-- Of what is wanted already: the alert that it names, and the open ones about the same entity of its incident, or of one that was judged
-- to be an attack.
INSERT INTO wanted_by
    SELECT w.kind, w.entity_kind, w.entity_value, w.alert_id, w.approve, w.narrower,
           CASE WHEN w.state = 'lift' AND coalesce(i.verdict, 'true') = 'true' THEN 1 ELSE 0 END
    FROM wanted AS w LEFT JOIN incidents AS i ON i.incident_id = w.incident_id
    WHERE w.entity_kind <> 'range' OR w.state = 'lift'
    UNION
    SELECT w.kind, w.entity_kind, w.entity_value, a.alert_id, w.approve, w.narrower, 0 FROM wanted AS w
    JOIN incident_alerts AS a ON a.entity_kind = CASE w.entity_kind WHEN 'network' THEN 'client_ip' ELSE w.entity_kind END
    AND a.entity_value = w.entity_value AND a.state <> 'closed' AND a.alert_id <> w.alert_id
    JOIN incidents AS i ON i.incident_id = a.incident_id AND (i.incident_id = w.incident_id OR i.verdict = 'true')
    WHERE w.entity_kind <> 'range' AND w.state = 'active';
