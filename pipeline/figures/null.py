"""The null hypothesis of NAFlow: methods that give its maps if its inverse adds nothing."""

from collections.abc import Mapping

from naflow.methods import METHODS

NULL = frozenset(name for name, known in METHODS.items() if known.null)


def null_hypothesis(names: Mapping[str, str]) -> str:
    """Return a sentence that says which of these methods, name -> label, are the null hypothesis;
    "" if none is."""
    labels = [called for name, called in names.items() if name in NULL]
    if not labels:
        return ""
    return (
        f"{' and '.join(labels)} of the same layer {'are' if labels[1:] else 'is'} the null "
        "hypothesis of NAFlow: what an inverse that adds nothing would show."
    )
