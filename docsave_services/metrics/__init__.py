"""What a process counts and measures, and how that is asked for (ADR 020)."""
