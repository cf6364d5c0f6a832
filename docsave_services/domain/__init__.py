"""Pure rules: names, passwords, cursors. Standard library only."""
