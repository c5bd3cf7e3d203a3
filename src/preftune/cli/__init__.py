"""The command line: one small file per command; a command imports what it runs only when it runs."""
