"""Waves and mel spectrograms, and synthesised sounds."""
