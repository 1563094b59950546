"""The sentence: recipe, plan, parts, commits, and the only room that imports apache_beam."""
