"""What happens to a fact: a request is received, fans out, is delivered."""
