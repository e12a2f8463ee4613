"""What the structured techniques share: criteria, evidence, the search for a budget, the cut and what goes around it."""
