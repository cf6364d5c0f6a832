"""The webhooks service: every change, delivered over HTTP to whoever asked for it."""
