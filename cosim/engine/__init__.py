"""Running a federation: processes, HELICS, supervision, recording."""
