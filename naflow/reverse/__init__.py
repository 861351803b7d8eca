"""The way back: importance coefficients of every layer, and which neurons are abandoned."""
