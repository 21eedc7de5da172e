"""fsck: everything held against everything else; changes nothing."""
