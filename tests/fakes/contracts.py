"""A contract and a registry that have one of everything, as the data that a policy folder gives."""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Final

from tallygate.domain.attribution.contract import (
    Contract,
    Registry,
    contract_from_data,
    registry_from_data,
)

HASH_PATTERN: Final = r"^hk[0-9]{1,6}_[0-9a-f]{32}$"
HASHED: Final = "hk1_" + "a" * 32

CONTRACT: Final[dict[str, Any]] = {
    "fields": {
        "owner_team": {
            "kind": "vocabulary",
            "headers": ["X-Team-Id"],
            "baggage": ["team_id"],
            "metadata": ["team_id"],
        },
        "service": {"kind": "vocabulary"},
        "environment": {"kind": "vocabulary"},
        "feature": {"kind": "vocabulary"},
        "region": {"kind": "vocabulary"},
        "workflow_id": {"kind": "pattern", "pattern": "^[a-z][a-z0-9-]{0,63}$"},
        "tenant_id_hash": {
            "kind": "identifier",
            "pattern": HASH_PATTERN,
            "headers": ["x-customer-id-hash"],
            "baggage": ["customer_id_hash"],
            "metadata": ["customer_id_hash"],
            "hash_from": {
                "headers": ["X-Tallygate-Tenant-Id"],
                "baggage": ["tenant_id"],
                "metadata": ["tenant_id"],
            },
        },
        "user_id_hash": {"kind": "identifier", "pattern": HASH_PATTERN},
        "initiator": {"kind": "identifier"},
        "parent_call_id": {"kind": "identifier", "pattern": "^[0-9a-f]{16,64}$"},
        "span_id": {"kind": "identifier", "pattern": "^[0-9a-f]{16}$"},
    },
    "required": {
        "default": ["owner_team", "service", "environment"],
        "environments": {"prod": ["workflow_id"]},
        "services": {},
    },
    "one_of": [],
    "modes": {"default": "report_only"},
    "unbound": {"mode": "report_only", "services": ["*"]},
    "disclose": "own_team",
    "fail_open": [],
    "spool_full": "refuse",
    "overrides": {"max_days": 90},
    "limits": {"value_chars": 64, "baggage_bytes": 512, "header_bytes": 8192},
}

REGISTRY: Final[dict[str, Any]] = {
    "teams": {"team-support": {}, "team-search": {}, "team-platform": {}},
    "own_calls": {"owner_team": "team-platform"},
    "services": {
        "support-assistant": {
            "owner_team": "team-support",
            "modes": {"default": "report_only", "prod": "enforce"},
            "defaults": {"feature": "ticket-triage", "unknown_field": "left out"},
        },
        "support-digest": {"owner_team": "team-support", "modes": {"default": "report_only"}},
        "search-api": {"owner_team": "team-search"},
    },
    "environments": {"prod": {}, "staging": {}},
    "features": {"ticket-triage": {}, "ticket-search": {}},
    "values": {"region": {"eu-west": {}, "us-east": {}}},
    "model_groups": {"frontier": ["gpt-5.4"], "standard": ["gpt-5.4-mini", "claude-haiku"]},
    "principals": {
        "teams": {
            "llm-support": {
                "team": "team-support",
                "services": ["support-assistant", "support-digest"],
                "environments": ["prod", "staging"],
            },
            "llm-search": {
                "team": "team-search",
                "services": ["search-api"],
                "environments": ["prod"],
            },
            "llm-open": {"team": "team-support"},
        },
        "keys": {"key-platform": {"team": "team-platform", "may_charge": ["team-support"]}},
    },
}


def a_contract(**changes: Any) -> Contract:
    """Build the contract; a keyword replaces a whole top-level key."""
    return contract_from_data(copy.deepcopy(CONTRACT) | changes)


def a_registry(**changes: Any) -> Registry:
    """Build the registry; a keyword replaces a whole top-level key."""
    return registry_from_data(copy.deepcopy(REGISTRY) | changes)


def hashed(raw: str) -> str:
    """Stand in for the keyed hash: same shape, no key."""
    return "hk1_" + hashlib.sha256(raw.encode()).hexdigest()[:32]
