"""The IMAP server: a table of verbs and a session."""
