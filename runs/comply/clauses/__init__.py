"""The clauses that traces can be judged by, one file each; `CLAUSES` in `judge.py` lists them."""
