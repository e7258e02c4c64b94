"""The ablation compiler: from an exported program to exact logit deltas of every ablation.

Read in this order: `graph` (the program as steps), `dependencies` (which features reach which
element), `towers` (what depends on one feature, computed once), `joins` (where features meet),
`deltas` (how a finite change passes an operator), `rerun` (what no rule covers), `running` (one
class of features through all of these), `program` (all of it, block by block), `compiler` (chooses,
checks, explains).
"""
