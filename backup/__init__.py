"""The backup service: every version of every document in a directory that needs no docsave to be read."""
