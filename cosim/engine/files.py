"""Names that the supervisor and the processes of a run agree on."""

SCRATCH = ".scratch"  #: the subfolder of a run's folder that exists while it runs
FEDERATION_FILE = "federation.json"
BROKER_FILE = "broker.json"
ROUNDS = "coupling_rounds"  #: the recorded number of rounds, at a group's leader
LOOPBACK = "127.0.0.1"  #: where the processes of a run on one machine meet
