"""The realtime socket `/websocket`: Rocket.Chat's subset of DDP for bots (`rocketchat.md` §11.2, decision 55)."""
