"""The command line: what an expert looks at and decides, and whether examples arrive."""
