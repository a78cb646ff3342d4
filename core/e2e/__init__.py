"""End-to-end tests: reading, running, judging, coverage."""
