"""The screens, one a file, each with its style sheet beside it. `shell.screen_registry` names them."""
