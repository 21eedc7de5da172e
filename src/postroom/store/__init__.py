"""What must survive the power cut: letters in segments, everything else in the index."""
