"""`postroom restore`: a data directory, a mailbox or a letter back from a backup."""
