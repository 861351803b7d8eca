"""Find the layers that end a stage or block, by their names: what a person calls "the layers".

A dotted name is a path of modules. Layers under one module form a block, which ends with its last
layer. Operations outside any block form one, too: from a convolution up to the next, or, where they
are only numbered, as long as the resolution stays the same. Separate paddings, norms, activations
and pools belong to the block they serve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MOST = 12  # maps that can still be read in one row
_ENOUGH = 6  # so many blocks are not divided further

Size = tuple[int, int]
Path = tuple[str, ...]

# Words in the last part of a name that say what the operation is.
_CONVOLUTIONS = {"conv", "convolution", "linear", "fc", "proj"}
_AFTER = {
    "bn",
    "norm",
    "batchnorm",
    "relu",
    "act",
    "activation",
    "swish",
    "silu",
    "gelu",
    "sigmoid",
}
_AFTER |= {"drop", "dropout", "identity", "add", "sum", "mul", "cat", "scale", "aa", "attn", "se"}
_POOLS, _PADDINGS = {"pool", "maxpool", "avgpool"}, {"pad", "padding"}
_INSIDE = {"expand", "depthwise", "project", "squeeze", "downsample", "shortcut", "branch", "root"}
_OPERATIONS = _CONVOLUTIONS | _AFTER | _POOLS | _PADDINGS | _INSIDE
# Words in the names of modules whose numbered children are blocks, not operations.
_HOLDERS = {"block", "blocks", "layer", "stage", "stages", "level", "levels", "trunk"}


def block_ends(sizes: Mapping[str, Size], most: int = MOST) -> list[str]:
    """Return the layers that end a block, shallow to deep, at most `most` of them.

    sizes  every layer of a flow, shallow to deep -> (h, w) of its map

    Stages are divided into their blocks while there are few. If there are more than `most`, the
    last block of each resolution is kept, and the remaining places are filled evenly.
    """
    names = Names(sizes)
    ends: list[str] = []
    for depth in range(1, names.depth + 1):
        ends = _ends(names.groups(depth), sizes)
        if len(ends) >= _ENOUGH:
            break
    if len(ends) <= most:
        return ends
    kept = {sizes[name]: name for name in ends}.values()  # the last of each resolution
    others = [name for name in ends if name not in kept]
    room = max(0, most - len(kept))
    chosen = {others[(2 * i + 1) * len(others) // (2 * room)] for i in range(room)} | set(kept)
    return [name for name in ends if name in chosen][-most:]


class Names:
    """The layer names of a flow as paths of modules, and the blocks that follow from them."""

    def __init__(self, sizes: Mapping[str, Size]) -> None:
        self.sizes = sizes
        self.paths = {name: tuple(name.split(".")) for name in sizes}
        self.depth = max((len(path) for path in self.paths.values()), default=0)
        self.children: dict[Path, list[Path]] = {}
        for path in self.paths.values():
            for n in range(len(path)):
                row = self.children.setdefault(path[:n], [])
                if path[: n + 1] not in row:
                    row.append(path[: n + 1])
        self.numbered = {child for row in self.children.values() for child in self._blocks_in(row)}

    def groups(self, depth: int) -> list[list[str]]:
        """Group the names into blocks by the first `depth` parts of each name."""
        groups: list[list[str]] = []
        current: Path = ()
        for name, path in self.paths.items():
            block, is_block = self._block(path, depth)
            closes = bool(groups) and path == self.paths[groups[-1][-1]][: len(path)]
            if groups and (
                closes
                or (is_block and block == current)
                or (not is_block and self._goes_on(name, block, groups[-1], current))
            ):
                groups[-1].append(name)
            else:
                groups.append([name])
                current = block if is_block else block[:-1]
        return groups

    def _block(self, path: Path, depth: int) -> tuple[Path, bool]:
        """Return the module that a name belongs to at this depth, and whether it is a block. If
        not, it is an operation outside blocks."""
        for n in range(1, min(depth, len(path)) + 1):
            module = path[:n]
            if module not in self.numbered and _operates(module[-1]):
                return module, False
            if module not in self.children:
                return module, module in self.numbered or not module[-1].isdecimal()
            if not self._divisible(module):
                return module, True
        return path[:depth], True

    def _divisible(self, module: Path) -> bool:
        """Whether the module holds blocks, and not only operations and branches."""
        children = self.children[module]
        if all(child[-1].isdecimal() and child not in self.children for child in children):
            return True  # a plain sequence: only the resolution separates blocks
        blocks = [
            child
            for child in children
            if child in self.numbered
            or (not _operates(child[-1]) and (child in self.children or not child[-1].isdecimal()))
        ]
        return len(blocks) >= 2 or any(_holds(child[-1]) for child in children)

    def _blocks_in(self, row: Sequence[Path]) -> Sequence[Path]:
        """Return the numbered children of one module that count as blocks even without layers
        inside: all children of a module with a name like "stages", else those that lie between
        children with layers inside."""
        row = [child for child in row if child[-1].isdecimal()]
        if any(_holds(part) for child in row for part in child):
            return row
        inner = [at for at, child in enumerate(row) if child in self.children]
        return row[inner[0] : inner[-1] + 1] if inner else []

    def _goes_on(self, name: str, operation: Path, group: Sequence[str], current: Path) -> bool:
        """Whether an operation outside blocks belongs to the group before it."""
        words, prepared = _words(operation[-1]), all(_begins(one) for one in group)
        if self.sizes[name] != self.sizes[group[-1]]:
            return prepared and bool(words & _CONVOLUTIONS)
        if operation[-1].isdecimal():
            return current == operation[:-1]
        if operation == self.paths[group[-1]][: len(operation)] or words & _AFTER:
            return True
        return prepared


def _ends(groups: Sequence[list[str]], sizes: Mapping[str, Size]) -> list[str]:
    """Return the last layer of each group that is not a padding. Skip a group of one pool or
    padding (or numbered layer) that only starts the resolution of the next group, and a final pool
    that keeps the resolution."""
    ends: list[str] = []
    for at, group in enumerate(groups):
        first, size = group[0], sizes[group[0]]
        begins = not at or sizes[groups[at - 1][-1]] != size
        followed = at + 1 < len(groups) and sizes[groups[at + 1][0]] == size
        alone = len(group) == 1 and (
            _begins(first) or (begins and first.split(".")[-1].isdecimal())
        )
        if alone and (followed or not begins):
            continue
        kept = [name for name in group if not _words(name.split(".")[-1]) & _PADDINGS]
        ends += kept[-1:]
    return ends


def _begins(name: str) -> bool:
    """Whether a layer is a pool or a padding: it belongs to what follows."""
    return bool(_words(name.split(".")[-1]) & (_POOLS | _PADDINGS))


def _operates(part: str) -> bool:
    """Whether a part of a name is that of an operation, not of a block."""
    return bool(_words(part) & _OPERATIONS)


def _holds(part: str) -> bool:
    """Whether a part of a name is that of a module of blocks, as in "layer1" or "stages"."""
    words = _words(part)
    return bool(words) and words <= _HOLDERS


def _words(part: str) -> set[str]:
    """The words of one part of a name: "_bn0" -> {"bn"}, "static_padding" -> {"static",
    "padding"}."""
    return {word.lower() for word in re.findall(r"[A-Za-z]+", part)}
