"""What an account has chosen (a short name, mailboxes for its tags, how much it may send), and letters that were
refused."""

SQL = """
ALTER TABLE accounts ADD COLUMN short TEXT;                         -- a name without a domain to log in by
ALTER TABLE accounts ADD COLUMN tags INTEGER NOT NULL DEFAULT 0;    -- user+tag@ comes into the mailbox "tag"
ALTER TABLE accounts ADD COLUMN hourly INTEGER;                     -- letters it may send; NULL: the site's default
ALTER TABLE accounts ADD COLUMN daily INTEGER;
CREATE UNIQUE INDEX accounts_short ON accounts (short) WHERE short IS NOT NULL;

CREATE TABLE refusals (              -- letters and recipients that were not taken; the oldest go
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    session TEXT NOT NULL,
    peer TEXT NOT NULL,
    login TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    judge TEXT NOT NULL,
    reply TEXT NOT NULL
) STRICT;
"""
