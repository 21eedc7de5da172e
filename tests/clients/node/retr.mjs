// Brings all letters of a maildrop, a file each: node retr.mjs PORT TLS USER PASSWORD FOLDER
import fs from "node:fs";
import Pop3Command from "node-pop3";

const [port, tls, user, password, folder] = process.argv.slice(2);
const pop3 = new Pop3Command({
  host: "127.0.0.1",
  port: Number(port),
  tls: tls === "1",
  tlsOptions: { rejectUnauthorized: false },
  user,
  password,
});
const list = await pop3.LIST();
for (const [number] of list) {
  const [, stream] = await pop3.command("RETR", number);
  const pieces = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece));
  // The library leaves dots stuffed (RFC 1939 3), and takes the last line's end for the response's.
  const lines = `\r\n${Buffer.concat(pieces).toString("latin1")}\r\n`.replaceAll("\r\n..", "\r\n.");
  fs.writeFileSync(`${folder}/${number.padStart(6, "0")}.eml`, Buffer.from(lines.slice(2), "latin1"));
}
await pop3.QUIT();
