"""One module per technique. `recipe.stages.TECHNIQUES` maps the name in a recipe to the Config and to `apply` here."""
