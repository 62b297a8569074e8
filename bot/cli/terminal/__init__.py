"""The terminal door's client: `patchbay chat` for people, `patchbay hook LINE` for scripts (decision 68)."""
