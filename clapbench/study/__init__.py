"""What the cells of a sweep say together."""
