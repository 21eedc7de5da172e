"""`fsck --rebuild-index`: a new index from the segments and what is left of the old one."""
