-- The principal to whose revocation or throttling a wider containment gives way while that is in force; '' where there is none.
ALTER TABLE wanted ADD COLUMN narrower TEXT NOT NULL DEFAULT '';
