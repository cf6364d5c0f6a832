"""Preparing, starting, supervising and stopping the processes of the system."""
