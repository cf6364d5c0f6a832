"""What takes minutes: `make soak`."""
