"""More places for the backup: each follows the chain of the backup directory by itself (ADR 018)."""
