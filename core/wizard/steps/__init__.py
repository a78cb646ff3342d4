"""The steps of the recipe, one file each."""
