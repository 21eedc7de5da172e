"""Migrations that can be undone."""
