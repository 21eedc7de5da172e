"""`postroom backup`: a copy that is consistent while the server runs."""
