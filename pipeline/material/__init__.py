"""The material of figures and claims: pictures as a network sees them, with their maps."""
