"""`distill`: a student learns from teachers."""
