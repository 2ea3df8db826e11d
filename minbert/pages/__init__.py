"""What a person looks at: a run, a text or a model as one HTML file that opens by a double click, without a network."""
