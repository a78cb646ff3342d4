"""The terminal: command line, plain prompts, headless runs and the Textual app."""
