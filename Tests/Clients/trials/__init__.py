"""The long programs: each is run by the tool of the same name in tools/, and judges a node of its own."""
