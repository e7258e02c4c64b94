"""The contract: generated from protos/aftershock/v1 by `make protos`."""
