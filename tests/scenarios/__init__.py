"""Tests of kind: scenarios."""
