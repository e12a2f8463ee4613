"""Coupled channels: which parts of which weights must go together when a channel goes, and the surgery that removes them.

    model ─trace─► rules per layer class ─► ChannelGraph of groups, printable ─cut─► a smaller model

Source of the idea (a graph of dependencies between layers, groups of parameters): Fang et al., DepGraph: Towards Any
Structural Pruning (2023), section 3. Here each tensor carries the numbers of its channels, and equal numbers go together.
"""

from edgecompress.graph.channels.constants import KERNELS, Known, known_inputs, linear_part
from edgecompress.graph.channels.costs import Cost, Costs, channel_costs
from edgecompress.graph.channels.groups import ChannelGraph, ChannelGroup, ChannelSlice, channel_graph
from edgecompress.graph.channels.surgery import Cut, carry_out, cut, layer_at, plan_cut, removed_channels, silence

__all__ = [
    "KERNELS", "ChannelGraph", "ChannelGroup", "ChannelSlice", "Cost", "Costs", "Cut", "Known", "carry_out", "channel_costs",
    "channel_graph", "cut", "known_inputs", "layer_at", "linear_part", "plan_cut", "removed_channels", "silence",
]  # fmt: skip
