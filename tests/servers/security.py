"""Users and roles of a secured Elasticsearch, in the files it reads them from at its start."""

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

ADMIN = "elastic"  # built in, may do everything; its first password comes from the keystore
READER = "reader"
# Each with exactly what the README says that the purpose takes, or with less.
ATTACHER = "attacher"
ATTACHER_AGAIN = "attacher_again"
WRITER = "writer"
CREATOR = "creator"
ALIAS_WRITER = "alias_writer"  # knows the index by an alias only

_READS = ["read", "view_index_metadata"]
_ROLES = {
    "articles_reader": {"indices": [{"names": ["articles*"], "privileges": _READS}]},
    "articles_attacher": {
        "cluster": ["monitor"],
        "indices": [{"names": ["articles*"], "privileges": [*_READS, "index", "manage"]}],
    },
    "articles_attacher_again": {
        "indices": [{"names": ["articles*"], "privileges": [*_READS, "index", "maintenance"]}],
    },
    "articles_writer": {
        "indices": [{"names": ["articles*"], "privileges": [*_READS, "index"]}],
    },
    "articles_creator": {
        "cluster": ["monitor"],
        "indices": [{"names": ["articles*"], "privileges": [*_READS, "index", "create_index"]}],
    },
    "alias_writer": {
        "cluster": ["monitor"],
        "indices": [{"names": ["alias*"], "privileges": [*_READS, "index", "manage"]}],
    },
}
_MEMBERS = {
    "articles_reader": [READER],
    "articles_attacher": [ATTACHER],
    "articles_attacher_again": [ATTACHER_AGAIN],
    "articles_writer": [WRITER],
    "articles_creator": [CREATOR],
    "alias_writer": [ALIAS_WRITER],
}
_USERS = [user for users in _MEMBERS.values() for user in users]
_HASH_ROUNDS = 10_000


def new_passwords() -> dict[str, str]:
    """A random password for each user."""
    return {user: secrets.token_urlsafe(24) for user in (ADMIN, *_USERS)}


def write_users(config: Path, passwords: Mapping[str, str]) -> None:
    """Define everybody but the built-in admin in the configuration folder `config`."""
    users = [f"{user}:{_hashed(password)}" for user, password in passwords.items() if user != ADMIN]
    members = [f"{role}:{','.join(users)}" for role, users in _MEMBERS.items()]
    _write_lines(config / "users", users)
    _write_lines(config / "users_roles", members)
    # JSON is YAML, too; but the server reads this file line by line, a role at a time.
    roles = [f"{name}: {json.dumps(role)}" for name, role in _ROLES.items()]
    _write_lines(config / "roles.yml", roles)


def _hashed(password: str) -> str:
    """The password in Elasticsearch's PBKDF2 form.

    Its own tool writes bcrypt, which the standard library lacks, and starts a Java for each user.
    """
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS, dklen=32)
    return f"{{PBKDF2}}{_HASH_ROUNDS}${b64encode(salt).decode()}${b64encode(key).decode()}"


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
