"""What connects the aggregator to the world, one technology a file."""
