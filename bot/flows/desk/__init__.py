"""What commands may ask of the server: one module for each need of a noun, ending with its `DESK`."""
