"""Steps of the phase `extract`: files of web text in, the text of their pages out."""
