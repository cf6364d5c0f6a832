// Node's Socket.IO server as its manual has it, fed by RabbitMQ: what comes on the exchange goes to the room "all".
import { createServer } from "node:http";
import { Server } from "socket.io";
import amqp from "amqplib";

const [port, uri, exchange] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { perMessageDeflate: false, serveClient: false });
io.on("connection", (socket) => {
  socket.on("User_connect", (token, ack) => {
    socket.join("all");
    ack({ ok: true });
  });
});
const channel = await (await amqp.connect(uri)).createChannel();
await channel.assertExchange(exchange, "fanout", { durable: false, autoDelete: true });
const { queue } = await channel.assertQueue("", { exclusive: true });
await channel.bindQueue(queue, exchange, "");
await channel.consume(queue, (message) => io.to("all").emit("Notify_File_create", JSON.parse(message.content)), { noAck: true });
http.listen(Number(port), "127.0.0.1");
