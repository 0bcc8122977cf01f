"""What of an encoder training moves, and how."""
