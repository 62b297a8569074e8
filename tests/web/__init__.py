"""Tests of kind: web."""
