"""The null hypothesis: methods that show what an inverse that adds nothing would show."""

from collections.abc import Mapping

from naflow.methods import METHODS

NULL = frozenset(name for name, known in METHODS.items() if known.null)


def null_hypothesis(names: Mapping[str, str]) -> str:
    """What some of these methods, name -> label, stand beside NAFlow for; "" for none."""
    found = [called for name, called in names.items() if name in NULL]
    if not found:
        return ""
    return (
        f"{' and '.join(found)} of the same layer {'are' if found[1:] else 'is'} the null "
        "hypothesis of NAFlow: what an inverse that adds nothing would show."
    )
