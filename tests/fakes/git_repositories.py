"""A real git repository, made in a folder, that depends on nobody's configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, with an identity and no configuration of this machine."""
    own = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "A Platform Engineer",
        "GIT_AUTHOR_EMAIL": "platform@example.com",
        "GIT_COMMITTER_NAME": "A Platform Engineer",
        "GIT_COMMITTER_EMAIL": "platform@example.com",
        "PATH": os.environ["PATH"],
    }
    answer = subprocess.run(
        ("git", "-C", str(folder), *words), env=own, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def new_repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


def commit_all(folder: Path, message: str) -> str:
    """Commit everything that lies in the folder; returns the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")
