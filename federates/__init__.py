"""One file per federate kind: the glue between a model and the co-simulation."""
