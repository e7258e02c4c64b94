"""The labels that people gave to the 50,000 validation images of ImageNet, many of them several.

They are those of "Are we done with ImageNet?" (Beyer et al.), and come with the package timm, of
which nothing is imported.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from services.audit.domain.rows import LabelRows


@cache
def rows() -> LabelRows:
    """Return the labels of each image; images without any are rows without labels."""
    package = find_spec("timm")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "data" / "_info"
    synsets = (folder / "imagenet_synsets.txt").read_text().split()
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    names = [f"{lemmas[synset].split(',')[0]} {synset}" for synset in synsets]
    return LabelRows.of(names, json.loads((folder / "imagenet_real_labels.json").read_text()))
