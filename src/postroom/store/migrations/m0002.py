"""Quota, undelete, compaction, letters' stories, and the keeper's memory of what it has answered.

Rows that are there get what the new columns ask for: usage and live octets are counted, and a tombstone whose
letter still lies elsewhere in the account is taken for a move.
"""

SQL = """
CREATE TABLE site (                  -- facts about this index
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Another one after each rebuild and restore: whatever was made from an index's row numbers is of that index alone.
INSERT INTO site VALUES ('index', lower(hex(randomblob(16))));

ALTER TABLE accounts ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;   -- in all its mailboxes, prefixes included
ALTER TABLE accounts ADD COLUMN letters INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN max_octets INTEGER;                  -- NULL: the site's default; 0: none
ALTER TABLE accounts ADD COLUMN max_letters INTEGER;
UPDATE accounts SET
    octets = (SELECT coalesce(sum(size), 0) FROM mailboxes WHERE owner = accounts.id),
    letters = (SELECT coalesce(sum(messages), 0) FROM mailboxes WHERE owner = accounts.id);

CREATE TABLE domains (               -- of accounts; made with the first one
    name TEXT PRIMARY KEY,
    octets INTEGER NOT NULL,
    letters INTEGER NOT NULL,
    max_octets INTEGER,
    max_letters INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO domains SELECT
    CASE instr(address, '@') WHEN 0 THEN '' ELSE substr(address, instr(address, '@') + 1) END,
    sum(octets), sum(letters), NULL, NULL
    FROM accounts GROUP BY 1;

CREATE TABLE removed_accounts (      -- while letters of theirs may be brought back
    id INTEGER PRIMARY KEY,
    address TEXT NOT NULL,
    gone INTEGER NOT NULL
) STRICT;

ALTER TABLE mailboxes ADD COLUMN forgotten_modseq INTEGER NOT NULL DEFAULT 0;  -- tombstones up to it may be gone
ALTER TABLE deleted_mailboxes ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deleted_mailboxes ADD COLUMN modseq INTEGER NOT NULL DEFAULT 0;  -- of the letters that went with it
UPDATE deleted_mailboxes SET modseq =
    coalesce((SELECT max(modseq) FROM tombstones t WHERE t.mailbox = deleted_mailboxes.id), 0);
ALTER TABLE tombstones ADD COLUMN why INTEGER NOT NULL DEFAULT 0;  -- 0 expunged, 1 moved away, 2 brought back since
UPDATE tombstones SET why = 1 WHERE EXISTS (SELECT 1 FROM entries WHERE message = tombstones.message);

ALTER TABLE segments ADD COLUMN live INTEGER NOT NULL DEFAULT 0;   -- octets of the letters whose rows point here
ALTER TABLE segments ADD COLUMN retired INTEGER;                   -- when the last of them was moved elsewhere
UPDATE segments SET live = (SELECT coalesce(sum(size), 0) FROM messages WHERE segment = segments.number);

DROP TABLE stories;
CREATE TABLE stories (               -- what happened to a letter: a line an event (`store.stories`), bounded
    message INTEGER PRIMARY KEY,
    events TEXT NOT NULL
) STRICT;

CREATE TABLE kept_replies (          -- what the keeper answered, until the writer that asked has heard it
    writer TEXT NOT NULL,
    number INTEGER NOT NULL,
    reply BLOB NOT NULL,
    PRIMARY KEY (writer, number)
) STRICT, WITHOUT ROWID;
"""
