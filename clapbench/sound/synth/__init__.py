"""Synthesised sounds, scenes and captions: the world of the embedded models."""
