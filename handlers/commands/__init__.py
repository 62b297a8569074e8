"""One module per noun; each ends with the constant `NOUN`, which declares its verbs."""
