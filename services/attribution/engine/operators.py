"""Which exported operators do what to the elements of a row. What is not listed is unknown."""

MOVES = frozenset(
    """view reshape _unsafe_view permute transpose t unsqueeze squeeze flatten unflatten expand
    slice select narrow cat concat stack split split_with_sizes chunk unbind clone detach alias
    contiguous lift_fresh_copy flip roll repeat tile movedim getitem diagonal index_select index
    hstack vstack detach_ swapaxes adjoint numpy_T""".split()
)
"""Every output element is one input element, whichever the values are (if any index is constant)."""

CASTS = frozenset({"_to_copy", "to", "type_as"})
"""The same elements in another dtype."""

ELEMENTWISE = frozenset(
    """add sub rsub mul div pow maximum minimum where eq ne lt le gt ge logical_and logical_or
    logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor bitwise_left_shift
    bitwise_right_shift __and__ __or__ __xor__ __lshift__ __rshift__ remainder fmod floor_divide
    floor ceil round trunc frac sign abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square
    reciprocal sin cos tan atan asin acos sinh cosh tanh atanh asinh acosh sigmoid log_sigmoid logit
    erf erfc relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign hardtanh
    hardsigmoid hardswish threshold clamp clamp_min clamp_max clip isnan isinf isfinite nan_to_num
    masked_fill addcmul addcdiv lerp zeros_like ones_like full_like fill dropout feature_dropout
    atan2 hypot true_divide multiply subtract heaviside xlogy softshrink hardshrink tanhshrink
    special_expit prelu""".split()
)
"""Every output element depends on the input elements at its place (after broadcasting)."""

REDUCTIONS = frozenset(
    """sum mean amax amin prod logsumexp any all norm linalg_vector_norm var std argmax argmin
    count_nonzero""".split()
)
"""Over the dimensions in their second argument."""

ALONG = frozenset({"softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "cumprod"})
"""Along the one dimension in their second argument, which stays."""

ROW_WISE_EXACT = (MOVES | CASTS | ELEMENTWISE) | {"embedding", "sym_size"}
"""Answer the same bits for a row whatever the other rows and their number are."""
