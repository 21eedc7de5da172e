"""The search index: one database for each account, made behind delivery."""
