"""Files from strangers: each fuzzer spoils files in thousands of ways, and every one must be refused or read right."""
