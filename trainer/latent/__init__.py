"""The Latent Speech-Text Transformer (LST, arXiv 2510.06195): speech in patches, text as it is."""
