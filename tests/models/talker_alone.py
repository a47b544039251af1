"""The talker in a process of its own."""

from pathlib import Path

from cosim.registry import federate_class

Talker = federate_class(str(Path(__file__).with_name("talker.py")))


class TalkerAlone(Talker):
    needs_process = True
