"""Sanity checks of the methods on a published network, made into docs/method-study/sanity.md."""
