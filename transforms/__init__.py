"""The verbs: one file is one step; engines/ hold the models. Never imports apache_beam."""
