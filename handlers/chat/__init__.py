"""One module or folder for each chat system, ending with its `ADAPTER`."""
