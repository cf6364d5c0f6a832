"""What docsave's services share, and the users and files services themselves."""
