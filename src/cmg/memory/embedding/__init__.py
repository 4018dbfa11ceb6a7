"""Turns texts into vectors: a model of this machine, in a process of its own, or any API in OpenAI's form.

Texts come in, float vectors of length 1 go out, and with them which model made them. Nothing is stored here.
"""
