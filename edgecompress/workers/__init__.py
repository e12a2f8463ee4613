"""Several machines that share the trainings of one run: who they are, how they meet, what the chief tells the others.

The chief runs the recipe and alone owns the run folder. The others load the data and wait; for each training that is shared the
chief sends them the model as it is, so all that a stage decides by itself is decided once.
"""
