"""The realtime socket bots speak (`rocketchat.md` §11.2)."""
