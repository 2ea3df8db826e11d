"""Measurements beside other systems on the same work; each prints a table and keeps its figures in bench/results/."""
