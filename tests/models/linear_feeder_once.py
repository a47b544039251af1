"""The linear feeder, unable to repeat a step."""

from pathlib import Path

from cosim.registry import federate_class

LinearFeeder = federate_class(str(Path(__file__).with_name("linear_feeder.py")))


class LinearFeederOnce(LinearFeeder):
    iterative = False
