// Tests Node's http with an agent that keeps connections, and Node's fetch, against the addresses of hello, name and
// echo.

import assert from "node:assert/strict";
import http from "node:http";

const [hello, name, echo] = process.argv.slice(2).map((address) => `http://${address}/`);

/** A request through an agent; resolves to the content of a 200. */
function ask(agent, url, options = {}, pieces = []) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { agent, ...options }, (response) => {
      const content = [];
      response.on("data", (piece) => content.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        assert.equal(response.statusCode, 200);
        resolve(Buffer.concat(content));
      });
    });
    request.on("error", reject);
    for (const piece of pieces) request.write(piece);
    request.end();
  });
}

// A hundred requests at once, over four sockets.
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const greetings = await Promise.all(Array.from({ length: 100 }, () => ask(agent, hello)));
for (const greeting of greetings) assert.equal(greeting.toString(), "Hello, world!");

// Node sends pieces without a length as chunks.
const pieces = Array.from({ length: 80 }, (_, number) => Buffer.alloc(65_536, number));
const sent = Buffer.concat(pieces);
assert.ok((await ask(agent, echo, { method: "POST" }, pieces)).equals(sent));
agent.destroy();

// fetch keeps its connection too.
for (let number = 0; number < 100; number += 1) {
  const response = await fetch(`${name}?name=${number}`);
  assert.equal(await response.text(), `Hello, ${number}!`);
}

// Content with a length, and content from a stream.
const stream = () =>
  new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new Uint8Array(piece));
      controller.close();
    },
  });
for (const body of [sent, stream()]) {
  const response = await fetch(echo, { method: "POST", body, duplex: "half" });
  assert.equal(response.status, 200);
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(sent));
}

console.log("done");
