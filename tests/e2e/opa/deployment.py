"""OPA as deploy/opa/ says that it is run: a signed bundle over HTTP, logs and status sent away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from fakes.opa_servers import BundleServer, RunningOpa
from fakes.signing_keys import SigningKey, a_signing_key

REPOSITORY: Final = Path(__file__).parents[3]
CONFIG: Final = REPOSITORY / "deploy" / "opa" / "opa-config.yaml"
QUICKLY: Final = (
    "bundles.tallygate.polling.min_delay_seconds=1",
    "bundles.tallygate.polling.max_delay_seconds=1",
    "decision_logs.reporting.min_delay_seconds=1",
    "decision_logs.reporting.max_delay_seconds=1",
)
"""What a test changes of the configuration: it polls and sends each second."""


class Deployment:
    """A bundle server, the key that it signs with, and an OPA that trusts that key alone."""

    def __init__(self, folder: Path, policies: Path) -> None:
        self.folder = folder
        self.host = BundleServer()
        self.key = a_signing_key(folder)
        self.host.bundle = self.bundle_of(policies)
        words = [word for setting in QUICKLY for word in ("--set", setting)]
        key = ("--set-file", f"keys.tallygate-1.key={self.key.public}")
        environment = {
            "BUNDLE_URL": self.host.url,
            "BUNDLE_TOKEN": "for-bundles",
            "LOG_URL": self.host.url,
            "LOG_TOKEN": "for-logs",
            "DEPLOY_ENVIRONMENT": "test",
            "OPA_STATE": str(folder / "opa-state"),
        }
        self.opa = RunningOpa(
            folder, "--config-file", str(CONFIG), *key, *words, environment=environment
        )

    def trust(self, key: SigningKey, key_id: str) -> None:
        """Configure another key, which counts from the next start on."""
        self.opa.configure(
            f"--set=bundles.tallygate.signing.keyid={key_id}",
            f"--set=keys.{key_id}.algorithm=ES256",
            f"--set=keys.{key_id}.scope=tallygate",
            f"--set-file=keys.{key_id}.key={key.public}",
        )

    def bundle_of(
        self, policies: Path, key: SigningKey | None = None, key_id: str = "tallygate-1"
    ) -> bytes:
        """Build the bundle by the command that people use."""
        output = self.folder / "built.tar.gz"
        key = key or self.key
        words = ("--with-log-masks", "--signing-key", str(key.private))
        command = [sys.executable, "-m", "tallygate", "policy", "bundle", "-o", str(output)]
        subprocess.run(
            [*command, "--policies", str(policies), *words, "--signing-keyid", key_id],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return output.read_bytes()

    def logged(self, call_id: str) -> list[dict[str, Any]]:
        """List what the log's receiver has about a call."""
        return [d for d in self.host.decisions if d["input"].get("call_id") == call_id]

    def close(self) -> None:
        self.opa.kill9()  # at SIGTERM it would wait for its log server, which may be gone
        self.host.close()
