"""
A stand-in for the model providers: real HTTP, no keys, faults on demand, and a book of its own.

Shapes: the wire formats of OpenAI, Azure, Anthropic, Gemini, Vertex AI, Bedrock and Cohere, an MCP
    server, and a host that nobody knows; tables.py lists them.
Source: what the official clients and LiteLLM send and accept; tests/standin holds it.
"""
