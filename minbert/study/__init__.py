"""Baselines and statistics: from labelled texts to the table of a paper. Nothing else in the package imports this room.

The files in the order in which data passes through them:
data -> duplicates -> folds -> systems (frozen, bert) -> crossval -> rows -> tables.
All systems predict the same test parts, and each prediction is a row of rows.csv.gz: whatever comes later reads rows,
and nothing is trained again to be reported.
"""
