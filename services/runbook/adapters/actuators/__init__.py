"""Systems that a mitigation can be carried out in."""
