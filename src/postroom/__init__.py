"""Postroom: a complete mail and file system in one program."""
