"""Tests of kind: contracts."""
