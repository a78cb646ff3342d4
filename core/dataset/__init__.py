"""From passing tests to training rows."""
