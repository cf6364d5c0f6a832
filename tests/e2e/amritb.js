// What the Amritb web client does, without its page: socket.io-client 3.1 from another origin, polling first and then
// a websocket; the payload is what was typed, as text or parsed as JSON; an acknowledgement is always asked for.
//
//   node amritb.js <url>
//
// Reads lines {"event", "typed", "json": true|false}; prints one JSON line for each thing that happens:
// {"transport": name} at the start and after the upgrade, {"connect"}, {"connect_error"}, {"heard", "payload"},
// {"ack"}, {"disconnect"}.
"use strict";

const { io } = require("socket.io-client-v3");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const socket = io(process.argv[2], {
  reconnection: false,
  extraHeaders: { Origin: "https://amritb.github.io" },
});
const heard = ["create", "update", "delete"].map((what) => `Notify_File_${what}`);

heard.forEach((name) => socket.on(name, (payload) => say({ heard: name, payload })));
say({ transport: socket.io.engine.transport.name });
socket.io.engine.on("upgrade", (transport) => say({ transport: transport.name }));
socket.on("connect", () => say({ connect: socket.id }));
socket.on("connect_error", (error) => say({ connect_error: error.message }));
socket.on("disconnect", (reason) => say({ disconnect: reason }));

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { event, typed, json } = JSON.parse(line);
    socket.emit(event, json ? JSON.parse(typed) : typed, (ack) => say({ ack }));
  })
  .on("close", () => process.exit(0));
