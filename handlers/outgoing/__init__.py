"""The rules of outgoing webhooks: which fact fires which hook, what is sent, what an answer means.

Pure: a fact, a hook and an answer come in as values, and what to send, post or retry goes out as values.
"""
