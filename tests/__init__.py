"""Tests of docsave. ``unit`` needs no process; ``integration`` a broker or a database; the rest the whole system."""
