"""The models: one file per adapter, each with its recipe for clips and captions."""
