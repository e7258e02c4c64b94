#!/usr/bin/env bash
# Lints the contract and fails if the committed stubs are not what it generates.
set -euo pipefail
cd "$(dirname "$0")"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
./generate.sh "$fresh"
if ! diff -r --exclude=__pycache__ --exclude=__init__.py "$fresh/aftershock/v1" ../clients/python/aftershock/v1; then
  echo "The stubs differ from the contract: run 'make protos' and commit the result." >&2
  exit 1
fi
