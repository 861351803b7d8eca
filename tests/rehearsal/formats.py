"""Write networks in the formats in which their authors publish them.

resnet18, resnet50   torchvision: a state dict in a zip
CBAM, BAM            a checkpoint of a network trained in parallel (`module.`), in torch's old
                     format, its tensors on a GPU
NPID                 the same with the memory bank, a whole pickled module of the authors' code
VISSL                a dictionary of numpy arrays
"""

import sys
import types
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

HEAD = 8 << 20  # bytes that hold the pickles: what lies behind them are numbers


def torchvision(network: nn.Module, path: Path) -> Path:
    """Write a file like torchvision's resnet18-f37072fd.pth."""
    torch.save(network.state_dict(), path)
    return path


def parallel(network: nn.Module, path: Path, **more: object) -> Path:
    """Write a file like RESNET50_CBAM_new_name_wrap.pth and RESNET50_IMAGENET_BAM_best.pth.tar."""
    content = {"epoch": -1, "arch": "resnet50", "state_dict": old_state(network)}
    return on_a_gpu(content | {"best_prec1": 0} | more, path)


def lemniscate(network: nn.Module, memory: Tensor, path: Path) -> Path:
    """Write a file like lemniscate_resnet18.pth, with the memory bank (N, 128) of its training."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9)
    for one in network.parameters():
        optimizer.state[one]["momentum_buffer"] = torch.zeros_like(one)
    with authors_code():
        content = {
            "epoch": 200,
            "arch": "resnet",
            "state_dict": old_state(network),
            "lemniscate": NCEAverage(memory),
            "best_prec1": torch.tensor(0.41),
            "optimizer": optimizer.state_dict(),
        }
        return on_a_gpu(content, path)


def vissl(network: nn.Module, path: Path) -> Path:
    """Write a file like converted_vissl_rn50_npid_lemniscate_*.torch: arrays, no memory bank."""
    state = {f"_feature_blocks.{k}": v.numpy() for k, v in network.state_dict().items()}
    torch.save({"model_state_dict": state}, path)
    return path


def old_state(network: nn.Module) -> OrderedDict[str, Tensor]:
    """Return the state dict of a network in DataParallel as of torch < 0.4.1: no batch counters."""
    found = network.state_dict()
    names = [name for name in found if not name.endswith("num_batches_tracked")]
    return OrderedDict((f"module.{name}", found[name]) for name in names)


def on_a_gpu(content: dict[str, object], path: Path) -> Path:
    """Write a file in torch's old format, in which every storage is on the first GPU."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    head = whole[:HEAD].replace(b"ctorch\nFloatS", b"ctorch.cuda\nFloatS")
    head = head.replace(b"ctorch\nLongS", b"ctorch.cuda\nLongS")
    head = head.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
    path.write_bytes(head + whole[HEAD:])
    return path


class AliasMethod:
    """The authors' sampler of negatives: part of their file, not used here."""

    def __init__(self, count: int) -> None:
        self.prob, self.alias = torch.ones(count), torch.zeros(count, dtype=torch.long)


class NCEAverage(nn.Module):
    """The authors' memory bank, with its buffers."""

    def __init__(self, memory: Tensor) -> None:
        super().__init__()
        self.nLem, self.K = len(memory), 4096
        self.unigrams, self.multinomial = torch.ones(len(memory)), AliasMethod(len(memory))
        self.register_buffer("params", torch.tensor([4096, 0.07, -1, 0.5]))
        self.register_buffer("memory", memory)


@contextmanager
def authors_code() -> Generator[None]:
    """Give the classes the module names that published files hold, while one is written."""
    homes = {NCEAverage: "lib.NCEAverage", AliasMethod: "lib.alias_multinomial"}
    own = {kind: kind.__module__ for kind in homes}
    added = {"lib": types.ModuleType("lib")}
    for kind, home in homes.items():
        added[home] = types.ModuleType(home)
        vars(added[home]).update({kind.__name__: kind, "__file__": __file__})
        kind.__module__ = home
    sys.modules.update(added)
    try:
        yield
    finally:
        for kind, home in own.items():
            kind.__module__ = home
        for name in added:
            del sys.modules[name]
