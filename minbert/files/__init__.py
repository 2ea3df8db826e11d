"""Files -> examples and labels. Knows no model and no torch."""
