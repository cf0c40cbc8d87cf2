"""A real S3 server for the tests: SeaweedFS, from its wheel, ended by pid."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from orchestrator.local.processes import free_ports, is_taken

KEY, SECRET, BUCKET = "test-key", "test-secret-canary-7c1f", "works"


@dataclass(kw_only=True)
class S3Server:
    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    @property
    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start(folder: Path) -> S3Server:
    """Ready when a real PUT succeeds, not when the port opens. gRPC ports are port + 10000."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"name": "app", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = _ports()
    weed = Path(sys.executable).with_name("weed")
    command = [
        str(weed if weed.exists() else shutil.which("weed")), "server", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}",
        "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={folder / 's3.json'}",
        "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=256",
        "-volume.max=50", "-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms",
    ]  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={"GOMEMLIMIT": "400MiB", "PATH": "/usr/bin:/bin"}
        )
    server = S3Server(endpoint=f"http://127.0.0.1:{s3}", process=process)
    _await_ready(server, folder / "weed.log")
    return server


def _ports() -> list[int]:
    """Four ports whose gRPC twins are free too."""
    good = (port for port in free_ports(2000) if port < 22_000 and not is_taken("127.0.0.1", port + 10_000))
    return [next(good) for _ in range(4)]


def _await_ready(server: S3Server, log: Path) -> None:
    deadline = time.monotonic() + 600
    while True:
        try:
            server.client.create_bucket(Bucket=BUCKET)
            server.client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
            server.client.delete_object(Bucket=BUCKET, Key="ready")
            return
        except Exception as error:
            if "BucketAlready" in str(error):
                server.client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
                return
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.3)
