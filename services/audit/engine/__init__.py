"""Graph theory on co-occurrences, by SciPy and rustworkx.

Read in this order: `graph` (rows to counts to edges), `centrality` and `paths` (which labels meet
many others), `independent_set` (which of a label's neighbours do not meet each other), `poisonable`
(what a trigger could poison), `candidates`; `overlaps`, `sweep`, `larger_sets` and `thresholds`
(the paper's variations). Beyond the paper: `labelled_counts` and `concentration` (whose rows lean
to an outcome), `saliency`, `findings` and `variations`, which put it all under the labels' names.

Section numbers are those of "Natural Backdoor Datasets" (Wenger et al.), appendix included.
"""
