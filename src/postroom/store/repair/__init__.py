"""`fsck --repair`: what can be put right, put right."""
