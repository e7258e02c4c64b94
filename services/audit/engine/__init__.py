"""Graph theory on co-occurrences, by SciPy and rustworkx.

Read in this order: `graph` (rows to counts to edges), `centrality` (which labels meet many others),
`independent_set` (which of a label's neighbours do not meet each other), `poisonable` (what a
trigger could poison), `overlaps`, `sweep`, `larger_sets` and `thresholds` (the paper's variations).

Section numbers are those of "Natural Backdoor Datasets" (Wenger et al.), appendix included.
"""
