"""Claims files: their schema, how they are read, and what they can name."""
