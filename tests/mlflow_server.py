"""MLflow's own server on a SQLite file, in its own environment: `python mlflow_server.py FILE`.

Prints its port once it serves, and ends when its standard input does.
"""
# mypy: ignore-errors

import os
import sys
import threading
from pathlib import Path

os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{sys.argv[1]}"
os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = f"sqlite:///{sys.argv[1]}"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(Path(sys.argv[1]).parent)

from mlflow.server import app
from werkzeug.serving import make_server


def serve() -> None:
    """Serve until standard input ends."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The first request makes the database.
    app.test_client().get("/api/2.0/mlflow/registered-models/search")
    print(server.server_port, flush=True)
    sys.stdin.read()


serve()
