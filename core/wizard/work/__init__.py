"""What the steps do when they run; imported only then."""
