"""Samples that fix the ranges of int8 and int16x8: reading them, checking them, and how many are enough."""
