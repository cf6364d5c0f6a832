"""Measurements of a running system beside other programs (`make bench`). Ratios within a round travel, seconds do not."""
