"""One file for each command: its manual, its flags, its checks, its story."""
