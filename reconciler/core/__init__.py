"""Values in, values out: what is declared, what is there, and the calls that turn the one into the other."""
