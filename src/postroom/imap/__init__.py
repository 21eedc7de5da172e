"""IMAP4: grammar shared by both sides, a session's view, the server (RFC 3501, RFC 9051)."""
