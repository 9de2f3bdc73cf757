"""The `s3gw` command: one module for each group of commands. What a command works with is imported when it runs."""
