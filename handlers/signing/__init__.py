"""Signing what we send and verifying what claims to come from a sender who shares a secret.

`standard_webhooks` and `github` each know one scheme; `incoming` decides for a hook that has a secret.
Whatever a stranger puts into a header ends as a `Verdict`, never as an exception (`security.md` 3).
"""
