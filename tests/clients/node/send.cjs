// Submits letters, each as it is: node send.cjs PORT SECURE USER PASSWORD TO FILE...
const fs = require("node:fs");
const nodemailer = require("nodemailer");

const [port, secure, user, pass, to, ...files] = process.argv.slice(2);

async function main() {
  const transport = nodemailer.createTransport({
    host: "127.0.0.1",
    port: Number(port),
    secure: secure === "1",
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user, pass },
    pool: true,
    maxConnections: 1,
  });
  for (const file of files) {
    await transport.sendMail({ envelope: { from: user, to: [to] }, raw: fs.readFileSync(file) });
  }
  transport.close();
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
