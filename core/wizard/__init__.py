"""Sessions, steps and the questions they ask."""
