"""A run's findings as data (`schema`) and for people: Markdown, one HTML page, a table for the terminal."""
