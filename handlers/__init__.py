"""Everything there can be one more of: commands, formatters, destinations, chat dialects. Pure."""
