"""Grad-CAM on torch.export programs."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.checkpoint import Output
from services.attribution.domain.errors import NoSaliency, UnknownLayer
from services.attribution.domain.example import Examples
from services.attribution.domain.layer import Layer

_CONVOLUTIONS = (
    torch.ops.aten.conv2d.default,
    torch.ops.aten.conv2d.padding,
    torch.ops.aten.convolution.default,
)
_ACTIVATIONS = (
    torch.ops.aten.relu.default,
    torch.ops.aten.relu_.default,
    torch.ops.aten.leaky_relu.default,
    torch.ops.aten.leaky_relu_.default,
    torch.ops.aten.gelu.default,
    torch.ops.aten.silu.default,
    torch.ops.aten.silu_.default,
    torch.ops.aten.elu.default,
    torch.ops.aten.hardswish.default,
    torch.ops.aten.sigmoid.default,
    torch.ops.aten.tanh.default,
)
_WEIGHT = ".weight"


class TorchGradients:
    """A program's Gradients, by Captum's LayerGradCam.

    An exported program is one flat graph: it has no modules to hook into, and no longer says which
    step came from which. But the path of a convolution's weight is known. So the graph is cut
    behind the step that takes this weight, and a module that changes nothing is put into the cut.
    """

    def __init__(self, predictor: TorchPredictor) -> None:
        self._program = predictor.program
        self._checkpoint = predictor.checkpoint

    def saliency(
        self,
        examples: Examples,
        layer: Layer,
        size: tuple[int, int] | None,
        target: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the Grad-CAM map of each example, [N, height, width]."""
        from captum.attr import LayerAttribution, LayerGradCam  # noqa: PLC0415 - takes a second

        module = self._program.module(check_guards=False)
        tap = _tapped(module, layer)
        arguments = tuple(torch.from_numpy(np.array(a)) for a in examples.arguments())
        try:
            coarse = LayerGradCam(lambda *inputs: self._logits(module(*inputs)), tap).attribute(
                arguments, target, relu_attributions=True
            )
        except (RuntimeError, AssertionError, IndexError) as error:
            raise NoSaliency(
                f"no gradient of the prediction comes back to {layer.path}: {error}", field="layer"
            ) from error
        maps = coarse if size is None else LayerAttribution.interpolate(coarse, size, "bilinear")
        saliency: NDArray[np.float32] = maps[:, 0].detach().numpy().astype(np.float32)
        return np.maximum(saliency, 0)

    def _logits(self, answer: Tensor) -> Tensor:
        if self._checkpoint.classes:
            return answer
        values = answer if answer.dim() == 1 else answer[:, -1]
        return values if self._checkpoint.output is Output.LOGIT else torch.logit(values)


class _Tap(nn.Module):
    """Hands on what it gets, as something that has a gradient."""

    def forward(self, activation: Tensor) -> Tensor:
        """Return the activation."""
        return activation if activation.requires_grad else activation.detach().requires_grad_()


def _tapped(module: GraphModule, layer: Layer) -> nn.Module:
    """Put a module behind a layer, in place, and return it."""
    step, graph, tap = _step(module, layer), module.graph, _Tap()
    module.add_module("saliency_tap", tap)
    with graph.inserting_after(step):
        tapped = graph.call_module("saliency_tap", (step,))
    with graph.inserting_after(tapped):
        # What follows may write in place, and the activation must stay as it was.
        copied = graph.call_function(torch.ops.aten.clone.default, (tapped,))
    step.replace_all_uses_with(copied, delete_user_cb=lambda user: user is not tapped)
    module.recompile()
    return tap


def _step(module: GraphModule, layer: Layer) -> Node:
    """Return the step that answers what the layer does."""
    known = dict(_convolutions(module))
    if layer.path not in known:
        names = ", ".join(known) or "none"
        raise UnknownLayer(
            f"the program has no two-dimensional convolution {layer.path!r}: it has {names}",
            field="layer",
        )
    step = known[layer.path]
    if not layer.is_activated:
        return step
    followers = list(step.users)
    if len(followers) != 1 or followers[0].target not in _ACTIVATIONS:
        what = ", ".join(str(follower.target) for follower in followers) or "nothing"
        raise UnknownLayer(
            f"behind {layer.path!r} comes {what}, and no activation alone: look at the convolution "
            "itself",
            field="after_activation",
        )
    return followers[0]


def _convolutions(module: GraphModule) -> Iterator[tuple[str, Node]]:
    """Yield the two-dimensional convolutions, each by the path of its module."""
    for step in module.graph.nodes:
        if step.target not in _CONVOLUTIONS:
            continue
        weight = step.args[1]
        name = str(weight.target) if isinstance(weight, Node) and weight.op == "get_attr" else ""
        if name.endswith(_WEIGHT) and module.get_parameter(name).dim() == 4:
            yield name.removesuffix(_WEIGHT), step
