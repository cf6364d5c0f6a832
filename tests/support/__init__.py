"""The real parts tests run against, and how to wait for them."""
