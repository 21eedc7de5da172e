"""POP3: grammar and the server's conversation (RFC 1939)."""
