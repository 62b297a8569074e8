"""Integrations as one YAML file: written for `export`, read, compared and judged for `import` (decision 67)."""
