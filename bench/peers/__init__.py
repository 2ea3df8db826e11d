"""What other libraries do with the same texts. No file imports minbert, and few torch: a peer's memory is its own."""
