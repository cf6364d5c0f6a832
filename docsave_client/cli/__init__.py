"""The command line ``docsave``."""
