"""A functional Keras graph as plain data: which layers there are, what they cost, how a recipe names them."""
