"""Names that the supervisor and the processes of a run agree on."""

SCRATCH = ".scratch"  #: the subfolder of a run's folder that exists while it runs
FILES = "files"  #: the subfolder of a run's folder that keeps what its federates wrote in their working folders
WORKING = ".files"  #: ends the name of a process's working folder, in the scratch folder
ENGINE_LOGS = "*.scratch/*.log"  #: what engines said, in the scratch folder
FEDERATION_FILE = "federation.json"
BROKER_FILE = "broker.json"
ROUNDS = "coupling_rounds"  #: the recorded number of rounds, at a group's leader
LOOPBACK = "127.0.0.1"  #: where the processes of a run on one machine meet
