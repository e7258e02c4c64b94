"""Reads column lineage by Marquez' own client, in its own environment: `marquez_reader.py URL`.

Standard input has a JSON object a line, `method` and `arguments`; standard output an answer a line.
"""
# mypy: ignore-errors

import json
import sys

from marquez_client import MarquezClient

client = MarquezClient(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(getattr(client, asked["method"])(**asked["arguments"])))
