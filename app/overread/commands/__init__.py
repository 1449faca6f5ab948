"""The commands of the command line, one file each. Every command is a function from its arguments to an exit status."""
