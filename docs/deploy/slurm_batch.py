"""A batch on SLURM through dask-jobqueue, or, to try the script without one, on this machine.

    pip install dask-jobqueue
    python slurm_batch.py BATCH.yaml --out /shared/results/mine --jobs 25 --cores 4 --memory 8GB --queue normal
    python slurm_batch.py BATCH.yaml --out results/mine --here 2

The scheduler runs in this process, so start it where it may stay as long as the batch: in a job of its own or in a
terminal multiplexer. Every job starts workers of one thread each; a worker makes one run at a time. The scenario's
folder and `--out` must be on a file system that all nodes share, and the jobs must find the same Python environment.
Scheduler and workers speak TLS with a key that is made for this batch, in `OUT.tls`, which nobody else can enter.
What follows `--` goes to `cosim batch`, for example `-- --resume`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

ROLES = ("client", "scheduler", "worker")


def keys(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """A certificate and key of this batch's own in files that only their owner can read: for Dask, and for `cosim`."""
    from dask.distributed import Security

    folder, made = Path(f"{options.out}.tls"), Security.temporary()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    files = {name: folder / f"{name}.pem" for name in ("cert", "key")}
    for name, path in files.items():
        path.touch(mode=0o600)
        path.write_text(made.tls_client_cert if name == "cert" else made.tls_client_key)
    cert, key = str(files["cert"].resolve()), str(files["key"].resolve())
    roles = {f"tls_{role}_{what}": path for role in ROLES for what, path in (("cert", cert), ("key", key))}
    return (
        Security(tls_ca_file=cert, require_encryption=True, **roles),
        ["--tls-ca", cert, "--tls-cert", cert, "--tls-key", key],
    )


def slurm(options: argparse.Namespace, security: Any) -> Any:
    """Workers in SLURM jobs; with `--show` only the job's script is printed."""
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        queue=options.queue,
        account=options.account,
        walltime=options.walltime,
        cores=options.cores,
        processes=options.cores,  # one run at a time in each
        memory=options.memory,
        local_directory=options.scratch,
        worker_extra_args=["--memory-limit", "0"],  # runs have limits of their own: `limits` in the batch file
        python=sys.executable,
        security=security,
        protocol="tls://",
    )
    if options.show:
        print(cluster.job_script())
        raise SystemExit(0)
    cluster.scale(jobs=options.jobs)
    return cluster


def here(options: argparse.Namespace, security: Any) -> Any:
    """Workers on this machine, in place of SLURM."""
    from dask.distributed import LocalCluster

    shared = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    return LocalCluster(n_workers=options.here, security=security, **shared)


def main() -> int:
    """Start the cluster, run the batch on it, end the cluster; the batch's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("batch")
    parser.add_argument("--out", required=True, help="folder for the results, seen by all nodes")
    parser.add_argument("--jobs", type=int, default=1, help="SLURM jobs")
    parser.add_argument("--cores", type=int, default=4, help="cores of a job: so many runs at once")
    parser.add_argument("--memory", default="8GB", help="memory of a job")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--queue", help="SLURM partition")
    parser.add_argument("--account")
    parser.add_argument("--scratch", default="/tmp", help="folder for the workers' own files, on the node")
    parser.add_argument("--show", action="store_true", help="print the job's script and end")
    parser.add_argument("--here", type=int, metavar="WORKERS", help="run on this machine instead")
    parser.add_argument("further", nargs="*", help="options of `cosim batch`, after --")
    options = parser.parse_args()
    security, tls = keys(options)
    with (here if options.here else slurm)(options, security) as cluster:
        cosim = str(Path(sys.executable).with_name("cosim"))
        command = [cosim, "batch", options.batch, "--out", options.out, "--scheduler", cluster.scheduler_address]
        return subprocess.run([*command, *tls, *options.further], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
