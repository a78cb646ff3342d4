"""Running CALM assistants: commands in, events out."""
