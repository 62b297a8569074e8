"""The APIs clients speak: Rocket.Chat REST and its realtime socket."""
