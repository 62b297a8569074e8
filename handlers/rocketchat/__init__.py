"""Hold what Rocket.Chat's REST interface fixes on the wire: request schemas, error texts, list parameters."""
