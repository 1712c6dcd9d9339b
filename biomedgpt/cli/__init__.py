"""The `biomedgpt` command: one module per subcommand."""
