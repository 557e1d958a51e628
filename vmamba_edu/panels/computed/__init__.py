"""What panels show, as numbers: each file has a State and what is computed of it, and knows no widget."""
