// Answers from the copy that a reader has asked for (reading.js fills it), where the network does
// not. The network comes first: who is online never reads an old page.
const PATIENCE = 4000; // milliseconds; in a tunnel a request may hang for ever

async function fromCopy(request) {
  return caches.match(request, { ignoreSearch: true });
}

async function answer(request) {
  const online = fetch(request);
  const copy = await fromCopy(request);
  if (!copy) return online;
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, copy));
  return Promise.race([online.catch(() => copy), late]);
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const own = new URL(event.request.url).origin === self.location.origin;
  if (own && event.request.method === "GET") event.respondWith(answer(event.request));
});
