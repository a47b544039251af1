"""Names that the supervisor and the processes of a run agree on."""

SCRATCH = ".scratch"  #: the subfolder of a run's folder that exists while it runs
FEDERATION_FILE = "federation.json"
BROKER_FILE = "broker.json"
ROUNDS = "coupling_rounds"  #: the recorded number of rounds, at a group's leader
