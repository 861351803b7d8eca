"""The reverse pass: importance coefficients of every layer, and which neurons are abandoned."""
