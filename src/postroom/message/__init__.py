"""What a letter says: structure and text, for any bytes."""
