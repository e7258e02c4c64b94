"""Facets that nobody here understands, as text."""

import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

_MOST_FACET_BYTES = 65_536
_OMITTED_BYTES = 4096
_MOST_OMITTED = 20
_LONGEST_OMITTED = 30


def kept(facets: Mapping[str, Any]) -> str:
    """Return facets as a JSON object, empty for none.

    Of more than 64 KiB the smallest are kept; `_omitted` names some of the others.
    """
    if not facets:
        return ""
    whole = json.dumps(facets, sort_keys=True)
    if len(whole) <= _MOST_FACET_BYTES:
        return whole
    sizes = {name: len(json.dumps({name: facet})) for name, facet in facets.items()}
    names = sorted(facets, key=lambda name: (sizes[name], name))
    ends = accumulate(sizes[name] for name in names)
    fitting = sum(end <= _MOST_FACET_BYTES - _OMITTED_BYTES for end in ends)
    omitted = [name[:_LONGEST_OMITTED] for name in names[fitting:]][:_MOST_OMITTED]
    return json.dumps({name: facets[name] for name in names[:fitting]} | {"_omitted": omitted})
