"""Measurements of a running system (`make bench`). They prove nothing; ratios travel, seconds do not."""
