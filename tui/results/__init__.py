"""What a finished step shows, one file a step."""
