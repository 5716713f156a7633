"""
A stand-in for the model providers: real HTTP, no keys, faults on demand, and a book of its own.

Shapes: OpenAI's and Anthropic's wire formats, streamed or whole.
Source: what the official `openai` and `anthropic` clients send and accept; tests/standin holds it.
"""
