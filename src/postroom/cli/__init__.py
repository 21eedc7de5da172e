"""The postroom command."""
