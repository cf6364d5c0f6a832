// Prints every change that a token may hear of, one line each.
//
//   npm ci
//   node docs/examples/listen.mjs <url of the notifier> <access token> [--admin] [--since <cursor>]
import { io } from "socket.io-client";

const [url, token, ...options] = process.argv.slice(2);
let since = options.includes("--since") ? options[options.indexOf("--since") + 1] : undefined;
const socket = io(url, { transports: ["websocket"] });

socket.on("connect", () => {
  const identify = options.includes("--admin") ? "Admin_connect" : "User_connect";
  socket.emit(identify, { token, since }, (ack) => {
    console.log("ack", JSON.stringify(ack));
    since = ack.cursor; // after a break the next connection goes on from here: no gap, no repeat
  });
});
for (const event of ["Notify_File_create", "Notify_File_update", "Notify_File_delete"]) {
  socket.on(event, ({ id, user_id, version, name, cursor }) => {
    console.log(event, `user=${user_id} file=${id} v${version} ${name}`);
    since = cursor;
  });
}
socket.on("Session_expired", () => console.log("the token has run out; log in again"));
socket.on("disconnect", (reason) => console.log("disconnected:", reason));
socket.on("connect_error", (error) => console.log("cannot connect:", error.message));
