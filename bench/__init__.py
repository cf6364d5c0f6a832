"""Measurements of a running system beside other programs (`make bench`). Ratios travel, seconds do not."""
