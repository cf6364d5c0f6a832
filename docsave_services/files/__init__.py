"""The files service: documents, their versions and the journal of their changes."""
