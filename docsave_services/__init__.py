"""What docsave's services share, and the users and files services themselves."""

__version__ = "0.1.0"
