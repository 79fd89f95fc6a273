"""What is remembered: state (documents), secrets (keyring or vault), and the journal."""
