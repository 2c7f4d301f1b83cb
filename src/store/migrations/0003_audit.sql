-- What the system and its users did, in one chain per instance. Copied to the lake; old rows leave, the newest stay.
CREATE TABLE audit (
    instance TEXT    NOT NULL,
    n        INTEGER NOT NULL, -- from 1, without a gap
    time_us  INTEGER NOT NULL, -- never less than that of the entry before
    actor    TEXT    NOT NULL,
    what     TEXT    NOT NULL,
    about    TEXT    NOT NULL,
    detail   TEXT    NOT NULL, -- a JSON object, canonical
    previous BLOB    NOT NULL, -- the hash of the entry before; 32 bytes
    hash     BLOB    NOT NULL,
    PRIMARY KEY (instance, n)
) WITHOUT ROWID;
CREATE INDEX audit_what  ON audit (instance, what, n);
CREATE INDEX audit_about ON audit (about, n);

-- What is to become an entry: written in the transaction of what happened, chained a moment later.
CREATE TABLE audit_pending (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    what    TEXT    NOT NULL,
    about   TEXT    NOT NULL,
    detail  TEXT    NOT NULL
);
