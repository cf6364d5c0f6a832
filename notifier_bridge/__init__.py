"""The notifier: journal events in, Socket.IO messages out."""
