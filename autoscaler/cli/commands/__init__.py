"""The commands, a module each, which are loaded when they are called: most need little of the program."""
