"""Strategies turn a window of samples into an opinion; this package holds their protocol, registry and maths."""

from autoscaler.strategies.base import Rule, RuleInput
from autoscaler.strategies.registry import registered, strategy
from autoscaler.strategies.steps import Steps
from autoscaler.strategies.table import Table
from autoscaler.strategies.target import Target
from autoscaler.strategies.threshold import Threshold

__all__ = ["Rule", "RuleInput", "Steps", "Table", "Target", "Threshold", "registered", "strategy"]
