"""Pairs of clips and captions to train on."""
