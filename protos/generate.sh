#!/usr/bin/env bash
# Lints the contract and generates its Python stubs into DIRECTORY (default: clients/python).
# usage: protos/generate.sh [lint | DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd .. && pwd)
venv=$PWD/.venv
target=${1:-$root/clients/python}

if ! cmp -s requirements.txt "$venv/installed.txt"; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$venv/installed.txt"
fi
PATH=$venv/bin:$PATH
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python descriptors.py rules "$scratch/rules.binpb"
python -m grpc_tools.protoc --descriptor_set_in="$scratch/rules.binpb" -I . -I "$packages" \
  --include_imports --include_source_info -o "$scratch/contract.binpb" aftershock/v1/*.proto
buf lint "$scratch/contract.binpb" --config buf.yaml
[ "$target" != lint ] || exit 0

python descriptors.py strip "$scratch/contract.binpb" "$scratch/stripped.binpb"
mkdir -p "$target/aftershock/v1"
rm -f "$target"/aftershock/v1/*_pb2*
python -m grpc_tools.protoc --descriptor_set_in="$scratch/stripped.binpb" \
  --python_out="$target" --grpc_python_out="$target" \
  --mypy_out="quiet:$target" --mypy_grpc_out="quiet:$target" aftershock/v1/*.proto
# Most files declare no service: their empty service stubs are noise.
for file in aftershock/v1/*.proto; do
  grep -q '^service ' "$file" || rm -f "$target/${file%.proto}_pb2_grpc.py" "$target/${file%.proto}_pb2_grpc.pyi"
done
