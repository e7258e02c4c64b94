"""Multi-label data in, natural backdoor triggers out, with what speaks for each."""
