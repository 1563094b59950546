"""A server that speaks S3 on this machine: moto's, answering one request at a time.

moto honours `If-None-Match: *` by looking and then writing. In its own threaded server two writers
could both look before either writes, so it would promise what S3 keeps; one at a time it keeps it.
`python -m tests.s3_server` prints its address and serves until its parent ends.
"""

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

BUCKET = "bucket"


def serve() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    from pipeline import worker

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    worker.die_with_parent(int(sys.argv[1]))
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=False, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server with an empty bucket. Gives the environment that leads obstore to it."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.s3_server", str(os.getpid())]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve()
