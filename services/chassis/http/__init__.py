"""HTTP beside gRPC, for callers that speak nothing else: the same tokens, statuses and drain."""
