"""Real clients behind one interface. This is the Python that is here because the clients are Python."""
