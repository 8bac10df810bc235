"""A stand-in for a service: answers 200 on its ports and ends on SIGTERM.

Copied into a folder `services` of its own, where the supervisor under test runs it. What it is to
do wrong stands in the variable STUB_<NAME>.
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"status": "healthy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The stand-in writes only what a test looks for."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def migrate(name: str, behaviour: str) -> None:
    """Fails when told to; leaves the address that it was given."""
    if behaviour == "bad-migration":
        print(f"relation of {name} is broken")
        sys.exit(3)
    url = os.environ[f"{name.upper()}_DATABASE_URL"]
    Path(os.environ["DATA_DIR"], f"{name}.url").write_text(url)


def serve(name: str, ports: list[str], behaviour: str) -> None:
    """Listens on `ports` until SIGTERM, or does what the test asks for."""
    if behaviour == "bad-settings":
        print(f"{name} cannot start:\n  {name.upper()}_SECRET: Must be set.", file=sys.stderr)
        sys.exit(78)
    if behaviour == "crash":
        raise RuntimeError(f"{name} fell over")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for port in ports:
        server = _Server(("127.0.0.1", int(os.environ[port])), _Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen(["sleep", "600"])
        Path(os.environ["DATA_DIR"], "grandchild").write_text(str(grandchild.pid))
    print(json.dumps({"level": "info", "event": "quiet"}), flush=True)
    print(json.dumps({"level": "warning", "event": "loud", "process": name}), flush=True)
    threading.Event().wait()


def main(name: str) -> None:
    """The body of `services/<name>/__main__.py`."""
    behaviour = os.environ.get(f"STUB_{name.upper()}", "")
    match sys.argv[1:]:
        case ["migrate"]:
            migrate(name, behaviour)
        case ["worker"]:
            serve(name + "-worker", [f"{name.upper()}_WORKER_OPS_PORT"], "")
        case _:
            serve(name, [f"{name.upper()}_PORT", f"{name.upper()}_OPS_PORT"], behaviour)
