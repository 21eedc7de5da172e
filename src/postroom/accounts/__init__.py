"""Who may log in, and what they are called."""
