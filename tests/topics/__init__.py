"""Tests of the embedded topic."""
