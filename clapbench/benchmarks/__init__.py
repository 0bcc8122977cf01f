"""The benchmarks: cases of clips and captions, and what they say of a model's rows."""
