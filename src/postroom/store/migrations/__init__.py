"""The index's schema, one numbered file a version, forward only."""
