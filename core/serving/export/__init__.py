"""A model copied to a folder or an object store: resumed where it was cut, believed only when read back and equal."""
