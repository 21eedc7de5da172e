"""What goes when, and how its room is won back."""
