"""Development keys and tokens: `python -m deploy.keys FOLDER`."""

import argparse
import getpass
from datetime import timedelta
from pathlib import Path

from services.chassis.tokens import Role, issue_token, new_key_pair

_LIFETIME = timedelta(days=30)


class Keys:
    """A key pair in a folder, made on first use, and the tokens signed with it."""

    def __init__(self, folder: Path) -> None:
        self.public = folder / "public.pem"
        self._private = folder / "private.pem"
        if not self._private.exists():
            folder.mkdir(parents=True, exist_ok=True)
            private_pem, public_pem = new_key_pair()
            self.public.write_bytes(public_pem)
            write_secret(self._private, private_pem.decode())

    def token(self, name: str, *roles: Role) -> str:
        """Return a token that identifies `name` for thirty days."""
        return issue_token(self._private.read_bytes(), name, roles, _LIFETIME)


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    file.touch(mode=0o600)
    file.write_text(text)


def main() -> None:
    """Make the key pair and an environment file with tokens for services and for this user."""
    parser = argparse.ArgumentParser(prog="python -m deploy.keys", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    keys = Keys(folder)
    tokens = {
        "AFTERSHOCK_SERVICE_TOKEN": keys.token("service", Role.PIPELINE, Role.READER),
        "AFTERSHOCK_TOKEN": keys.token(getpass.getuser(), Role.ADMIN),
    }
    file = folder / "tokens.env"
    write_secret(file, "".join(f"{name}={token}\n" for name, token in tokens.items()))
    print(f"wrote {keys.public} and {file}")


if __name__ == "__main__":
    main()
