"""A loop around the pipeline: many recipes of one space, the best of them, and what each stage is worth."""
