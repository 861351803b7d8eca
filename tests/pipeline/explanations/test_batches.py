"""Which pictures are explained: by one setting, and no other is passed over."""

import pytest
from omegaconf import OmegaConf

from naflow.errors import BadInput
from pipeline.app import CONF
from pipeline.explanations.batches import SHIPPED, check_part


def asked(part, cases=None, verify=None):
    explain = {"part": part, "cases": cases}
    return OmegaConf.create({"explain": explain, "recipe": {"verify": verify} if verify else {}})


def test_the_part_of_the_configuration_is_the_one_that_nobody_gave():
    assert OmegaConf.load(CONF / "config.yaml").explain.part == SHIPPED


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"verify": {"part": {"group": "novel"}}},
            r"because recipe.verify.part=\{'group': 'novel'\}",
        ),
        ({"cases": "cases.json"}, "because explain.cases=cases.json says which pictures"),
    ],
)
def test_one_that_would_not_be_looked_at(given, told):
    check_part(asked(SHIPPED, **given))
    with pytest.raises(BadInput, match=rf"explain.part=.*it would be ignored, {told}"):
        check_part(asked(SHIPPED | {"split": "train"}, **given))


def test_one_that_is_looked_at():
    check_part(asked({"group": None, "split": "train"}))
