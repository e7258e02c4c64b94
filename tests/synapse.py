"""A real Synapse for tests, the homeserver `example.org`, in an environment that is made once a
machine."""

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.environments import environment_of

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "synapse_requirements.txt"
_SCRIPT = _HERE / "synapse_server.py"
_REGISTER = "/_synapse/admin/v1/register"
_PLENTY = {"per_second": 1000, "burst_count": 1000}

Json = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """Somebody on the server, logged in once."""

    user: str
    token: str
    url: str

    def call(self, method: str, path: str, content: Json | None = None) -> Json:
        """Call the client-server API, and return the answer."""
        found: Json = self._ask(method, path, content).json()
        return found

    def download(self, path: str) -> bytes:
        """Return what is kept under a path."""
        return self._ask("GET", path, None).content

    def _ask(self, method: str, path: str, content: Json | None) -> httpx.Response:
        who = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.url}{path}"
        answer = httpx.request(method, url, json=content, headers=who, timeout=60)
        return answer.raise_for_status()


@dataclass(frozen=True)
class Synapse:
    """A running server. Tests share it and its people: each makes its own rooms and bots."""

    url: str
    secret: str
    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, name: str, *, admin: bool = False) -> Account:
        """Return `@{name}:example.org`, registered if need be."""
        if name not in self.accounts:
            self.accounts[name] = self._register(name, admin)
        return self.accounts[name]

    def _register(self, name: str, admin: bool) -> Account:
        nonce = httpx.get(f"{self.url}{_REGISTER}", timeout=60).raise_for_status().json()["nonce"]
        told = (nonce, name, "password", "admin" if admin else "notadmin")
        mac = hmac.new(self.secret.encode(), "\0".join(told).encode(), hashlib.sha1).hexdigest()
        content = {"nonce": nonce, "username": name, "password": "password", "admin": admin}
        answer = httpx.post(f"{self.url}{_REGISTER}", json={**content, "mac": mac}, timeout=60)
        made = answer.raise_for_status().json()
        return Account(made["user_id"], made["access_token"], self.url)


@pytest.fixture(scope="session")
def synapse() -> Iterator[Synapse]:
    """Serve until the session ends."""
    with serve_synapse() as server:
        yield server


@contextmanager
def serve_synapse() -> Iterator[Synapse]:
    """Serve an empty homeserver on a free port until the end of the block."""
    python = environment_of(_REQUIREMENTS) / "bin" / "python"
    folder = Path(tempfile.mkdtemp(prefix="synapse-"))
    secret = secrets.token_hex(16)
    with subprocess.Popen(
        # -P: this folder has a module of Synapse's name.
        [python, "-P", _SCRIPT, _configured(folder, secret)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    ) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            assert port, "Synapse ended at start"
            yield Synapse(f"http://127.0.0.1:{port}", secret)
        finally:
            process.communicate()
            shutil.rmtree(folder)


def _configured(folder: Path, secret: str) -> Path:
    """Write what Synapse has to know."""
    key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (folder / "signing.key").write_text(f"ed25519 a_test {key}\n")
    limits = ("rc_message", "rc_admin_redaction", "rc_registration", "rc_media_create")
    settings: Json = {
        "server_name": "example.org",
        "report_stats": False,
        "listeners": [
            {
                "port": 0,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "resources": [{"names": ["client", "media"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.sqlite")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": secret,
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "bcrypt_rounds": 4,
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        # No URL of a person's message is ever fetched.
        "url_preview_enabled": False,
        **dict.fromkeys(limits, _PLENTY),
        "rc_joins": {"local": _PLENTY, "remote": _PLENTY},
        "rc_invites": {"per_room": _PLENTY, "per_user": _PLENTY, "per_issuer": _PLENTY},
    }
    file = folder / "homeserver.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
