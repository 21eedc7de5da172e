"""SMTP, both sides: grammar and replies shared, the server's conversation (RFC 5321)."""
