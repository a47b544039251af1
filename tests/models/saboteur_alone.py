"""The saboteur in a process of its own."""

from pathlib import Path

from cosim.registry import federate_class

Saboteur = federate_class(str(Path(__file__).with_name("saboteur.py")))


class SaboteurAlone(Saboteur):
    needs_process = True
