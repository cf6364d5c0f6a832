// A Socket.IO client driven by its standard input, for the bridge's tests.
//
//   node client.js <package> <url> <transport,...> [<auth as JSON>]
//
// Reads lines {"emit": [event, ...arguments]}; prints one JSON line for each thing that happens:
// {"connect": id}, {"connect_error": message, "data"}, {"event": name, "args"}, {"ack": answer}, {"disconnect": reason}.
"use strict";

const [, , packageName, url, transports, auth] = process.argv;
const { io } = require(packageName);

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const socket = io(url, {
  transports: transports.split(","),
  auth: auth ? JSON.parse(auth) : undefined,
  reconnection: false,
  extraHeaders: { Origin: "http://amritb.example" },
});

socket.on("connect", () => say({ connect: socket.id }));
socket.on("connect_error", (error) => say({ connect_error: error.message, data: error.data }));
socket.on("disconnect", (reason) => say({ disconnect: reason }));
socket.onAny((event, ...args) => say({ event, args }));

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => socket.emit(...JSON.parse(line).emit, (answer) => say({ ack: answer })))
  .on("close", () => {
    socket.close();
    setTimeout(() => process.exit(0), 100);
  });
