"""The eight parts of the course, a file each. Each part gets its right input, so no other part's mistakes count."""
