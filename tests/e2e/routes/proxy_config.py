"""A LiteLLM config that reaches the stand-in on every route and in every provider's format."""

from __future__ import annotations

from typing import Any

import yaml

from tallygate.standin.environment import STANDIN_KEY

GATEWAY_PRICE = 0.02


GATE = "tallygate.proxy.handler"


def config_for(standin_url: str, callbacks: tuple[str, ...] = (GATE,)) -> str:
    """Write the config; every provider is the stand-in."""
    openai = {"api_base": f"{standin_url}/v1", "api_key": STANDIN_KEY}
    return yaml.safe_dump(
        {
            "model_list": _models(standin_url, openai),
            "files_settings": [{"custom_llm_provider": "openai", **openai}],
            "finetune_settings": [{"custom_llm_provider": "openai", **openai}],
            "assistant_settings": {"custom_llm_provider": "openai", "litellm_params": openai},
            "mcp_servers": {
                "tools": {
                    "url": f"{standin_url}/mcp",
                    "transport": "http",
                    "allow_all_keys": True,
                }
            },
            "litellm_settings": {
                "callbacks": list(callbacks),
                "request_timeout": 3,
                "cache": True,
                "cache_params": {"type": "local"},
            },
            "router_settings": {
                "num_retries": 2,
                "fallbacks": [{"first-choice": ["gpt-5.4-mini"]}, {"gpt-5.4": ["gpt-5.4-mini"]}],
            },
            "general_settings": {
                "master_key": "os.environ/LITELLM_MASTER_KEY",
                "custom_auth": "tallygate.proxy.demo_auth.authenticate",
                "pass_through_endpoints": [
                    {
                        "path": "/gateway",
                        "target": f"{standin_url}/gateway",
                        "include_subpath": True,
                        "forward_headers": True,
                        "auth": True,
                    },
                    {
                        "path": "/flat",
                        "target": f"{standin_url}/gateway",
                        "include_subpath": True,
                        "cost_per_request": GATEWAY_PRICE,
                        "auth": True,
                    },
                ],
            },
        }
    )


def _models(standin_url: str, openai: dict[str, Any]) -> list[dict[str, Any]]:
    gemini = {"api_base": standin_url, "api_key": STANDIN_KEY}
    bedrock = {
        "aws_bedrock_runtime_endpoint": standin_url,
        "aws_region_name": "eu-west-1",
        "aws_access_key_id": "AKIASTANDIN",
        "aws_secret_access_key": STANDIN_KEY,
    }
    anthropic = {"api_base": standin_url, "api_key": STANDIN_KEY}
    models = [
        _model(name, f"openai/{name}", openai)
        for name in (
            "gpt-5.4",
            "gpt-5.4-mini",
            "gpt-image-1",
            "dall-e-3",
            "tts-1",
            "whisper-1",
            "gpt-4o-transcribe",
            "omni-moderation-latest",
            "text-embedding-3-small",
            "gpt-realtime",
        )
    ]
    models += [
        _model("gpt-3.5-turbo-instruct", "text-completion-openai/gpt-3.5-turbo-instruct", openai),
        _model("claude-sonnet-5-5", "anthropic/claude-sonnet-5-5", anthropic),
        _model("gemini-3.5-flash", "gemini/gemini-3.5-flash", gemini),
        _model("nova", "bedrock/amazon.nova-pro-v1:0", bedrock),
        _model("claude-on-bedrock", "bedrock/anthropic.claude-sonnet-5-5", bedrock),
        _model("rerank", "cohere/rerank-v3.5", {"api_base": standin_url, "api_key": STANDIN_KEY}),
        _model("mocked", "openai/gpt-5.4-mini", {**openai, "mock_response": "as if"}),
        # Fails always, so that the next of the chain answers.
        _model("first-choice", "openai/gpt-5.4", openai),
    ]
    return models


def _model(name: str, model: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **params}}
