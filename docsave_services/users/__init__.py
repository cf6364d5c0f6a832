"""The users service: accounts and logging in."""
