"""The embedded workspace: users, rooms, messages and integrations, with the rules of their use.

Every rule lives here once; REST, socket, hooks, commands and CLI are doors to it. A method either returns
a `Fault` or has committed everything it says.
"""
