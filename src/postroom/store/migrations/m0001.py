"""The first schema. It holds from the first day what would mean reading every letter again later: dates with
their zone, sort keys, hashes for threads, RFC 8474's ids, the parser's version, owner and accessor apart.

All times are seconds since 1970 UTC, zones minutes east of it. Ids of objects are text, as clients see them.
"""

SQL = """
CREATE TABLE counters (              -- single numbers; see `store.ledger` for their names
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('uid_validity', 0), ('message', 0), ('accounts', 0);

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    disabled INTEGER NOT NULL DEFAULT 0,
    admin INTEGER NOT NULL DEFAULT 0,
    fxp INTEGER NOT NULL DEFAULT 0,
    files TEXT,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE account_changes (       -- what sessions must hear of; `serial` is drawn from the counter 'accounts'
    address TEXT PRIMARY KEY,
    serial INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX account_changes_serial ON account_changes (serial);

CREATE TABLE aliases (
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (name, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE mailboxes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES accounts,
    name TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL DEFAULT 1,
    highest_modseq INTEGER NOT NULL DEFAULT 1,
    messages INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    first_recent INTEGER NOT NULL DEFAULT 1,
    recent INTEGER NOT NULL DEFAULT 0,
    special_use TEXT,
    object_id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT;

CREATE TABLE deleted_mailboxes (     -- until the undelete time, with the tombstones of their letters
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    name TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    special_use TEXT,
    gone INTEGER NOT NULL
) STRICT;
CREATE INDEX deleted_mailboxes_owner ON deleted_mailboxes (owner);

CREATE TABLE subscriptions (
    account INTEGER NOT NULL REFERENCES accounts,
    name TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE rights (                -- RFC 4314
    mailbox INTEGER NOT NULL REFERENCES mailboxes,
    identifier TEXT NOT NULL,
    rights TEXT NOT NULL,
    PRIMARY KEY (mailbox, identifier)
) STRICT, WITHOUT ROWID;
CREATE INDEX rights_identifier ON rights (identifier);

CREATE TABLE segments (
    number INTEGER PRIMARY KEY,
    length INTEGER NOT NULL,         -- octets that committed rows may point into
    born INTEGER NOT NULL
) STRICT;

CREATE TABLE messages (              -- narrow: what scans over many letters need
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,         -- of the payload
    size INTEGER NOT NULL,
    email_id TEXT NOT NULL UNIQUE,
    crlf_size INTEGER NOT NULL,      -- with every line end as CRLF: what POP3 sends
    header_size INTEGER NOT NULL,
    parser INTEGER NOT NULL,
    sent INTEGER,
    sent_zone INTEGER,
    message_id INTEGER,              -- signed 64-bit hash of the header field
    refs BLOB NOT NULL,              -- hashes of its References, 8 octets each, big-endian, oldest first
    subject TEXT NOT NULL,
    is_reply INTEGER NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    copied TEXT NOT NULL
) STRICT;
CREATE INDEX messages_place ON messages (segment, offset);

CREATE TABLE answers (               -- wide: what FETCH joins
    message INTEGER PRIMARY KEY REFERENCES messages,
    envelope BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    parts BLOB NOT NULL
) STRICT;

CREATE TABLE threads (               -- every Message-ID an account has seen, as a letter's own or referred to
    account INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    mailbox INTEGER NOT NULL REFERENCES mailboxes,
    uid INTEGER NOT NULL,
    message INTEGER NOT NULL REFERENCES messages,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    modseq INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    zone INTEGER NOT NULL,
    save_date INTEGER NOT NULL,
    size INTEGER NOT NULL,           -- prefix and blob
    thread INTEGER NOT NULL,
    prefix BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_modseq ON entries (mailbox, modseq);
CREATE INDEX entries_message ON entries (message);

CREATE TABLE tombstones (            -- of entries; what undelete needs stays with them
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    message INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    modseq INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    zone INTEGER NOT NULL,
    save_date INTEGER NOT NULL,
    size INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    prefix BLOB NOT NULL,
    gone INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_modseq ON tombstones (mailbox, modseq);
CREATE INDEX tombstones_message ON tombstones (message);
CREATE INDEX tombstones_gone ON tombstones (gone);

CREATE TABLE seen (                  -- \\Seen of accessors that aren't the owner
    mailbox INTEGER NOT NULL REFERENCES mailboxes,
    accessor INTEGER NOT NULL REFERENCES accounts,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    PRIMARY KEY (mailbox, accessor, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_accessor ON seen (accessor);

CREATE TABLE queue_letters (         -- the outgoing queue
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL REFERENCES messages,
    prefix BLOB NOT NULL,
    sender TEXT NOT NULL,            -- reverse-path, empty for a bounce
    account INTEGER,
    envelope_id TEXT,                -- RFC 3461 ENVID
    return_full INTEGER,             -- RFC 3461 RET: 1 FULL, 0 HDRS
    eight_bit INTEGER NOT NULL,
    utf8 INTEGER NOT NULL,
    require_tls INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    held INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX queue_letters_message ON queue_letters (message);

CREATE TABLE queue_recipients (
    letter INTEGER NOT NULL REFERENCES queue_letters,
    position INTEGER NOT NULL,
    recipient TEXT NOT NULL,         -- forward-path
    domain TEXT NOT NULL,
    original TEXT,                   -- RFC 3461 ORCPT
    notify INTEGER NOT NULL,         -- RFC 3461 NOTIFY, as bits
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_time INTEGER NOT NULL,
    last_reply TEXT,
    last_host TEXT,
    lease TEXT,                      -- who is at it, and until when
    lease_until INTEGER,
    PRIMARY KEY (letter, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_recipients_due ON queue_recipients (state, next_time);
CREATE INDEX queue_recipients_domain ON queue_recipients (domain, state);

CREATE TABLE stories (               -- what happened to a letter, for people who look for one
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    session TEXT NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX stories_email_id ON stories (email_id);
CREATE INDEX stories_at ON stories (at);
"""
