"""The records of everything stored: frozen values, one module per kind of thing."""
