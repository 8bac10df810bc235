"""What stands behind the front doors: one fixed answer of 300 bytes that costs next to nothing."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.identity import KEY_SET, Identity
from bench.machine import path_of, version_of
from bench.processes import await_status, free_port, python, started
from bench.responder import ANSWER

_NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-errors.log;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location = /{key_set} {{ return 200 '{keys}'; }}
    location / {{ return 200 '{answer}'; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream."""

    name: str
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key_set(self) -> str:
        """Where it publishes the key set."""
        return f"{self.url}/{KEY_SET}"


@contextlib.contextmanager
def running_upstream(identity: Identity, folder: Path, cores: frozenset[int]) -> Iterator[Upstream]:
    """nginx when it is installed, else the responder of our own."""
    folder.mkdir()
    port = free_port()
    version = version_of("nginx", "-v")
    if version is None:
        command = python("bench.responder", str(port), str(identity.key_set))
        name = "the responder of bench/"
    else:
        config = folder / "nginx.conf"
        keys, answer = identity.key_set.read_text(), ANSWER.decode()
        config.write_text(
            _NGINX.format(folder=folder, port=port, key_set=KEY_SET, keys=keys, answer=answer)
        )
        command = [path_of("nginx"), "-c", str(config), "-e", str(folder / "nginx-start.log")]
        name = f"nginx {version}"
    log = folder / "upstream.log"
    with started(command, cores, log):
        found = Upstream(name, port)
        await_status(found.key_set, 200, log)
        yield found
