"""How well maps tell what a network looked at: what is asked, and what is measured."""
