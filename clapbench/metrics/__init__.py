"""Metrics of generated music."""
