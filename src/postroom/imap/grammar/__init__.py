"""IMAP's words on the wire, read and written side by side; pure."""
