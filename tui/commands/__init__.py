"""The commands of the command line, by what they are about. Each is one short function; everything heavy is imported inside."""
