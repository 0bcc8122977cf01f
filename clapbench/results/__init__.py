"""What is on disk: cells, embeddings, provenance; read back as records or as a DataFrame."""
