"""The bench: IEEE 1547.1-2020-style test sequences for any DER model that implements one small interface.

`device.py` is the interface. `bench` (in `runner.py`) runs the sequences and gives a `BenchReport`. The bench holds its
own reading of the test criteria; it shares no decision with the fleet model and none with the judge of traces.
"""
