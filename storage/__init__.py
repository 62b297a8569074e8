"""Everything that survives a restart: records, ports and drivers."""
