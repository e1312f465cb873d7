// What a reader's own browser remembers: which pages were read to their end, where the reader was,
// whether keys are used, and on demand a copy of the site. Nothing of it leaves the browser.
(() => {
  "use strict";
  const MEMORY = "bn-reading";
  const COPY = "bn-book "; // the name of a cache: this, the site's address, the edition
  const NOTHING = { read: [], last: null, before: null, keys: true };
  const NO_PLACE = ["index", "search", "genindex", "404"]; // nobody wants to come back to these
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  const page = location.pathname.split("/").pop().replace(/\.html$/, "") || "index";
  let front, dialog, opened; // the name of the first page, the window, what had the focus before

  // --- remembering ------------------------------------------------------------------------------

  // A browser may refuse to store anything: then everything works but for the memory.
  function recall() {
    try {
      const found = JSON.parse(localStorage.getItem(MEMORY)) ?? {};
      return { ...NOTHING, ...found };
    } catch {
      return NOTHING;
    }
  }
  function remember(changes) {
    try {
      localStorage.setItem(MEMORY, JSON.stringify({ ...recall(), ...changes }));
    } catch { /* see above */ }
    show();
  }
  function marked(isRead) {
    const others = recall().read.filter((name) => name !== page);
    remember({ read: isRead ? [...others, page] : others });
  }

  // --- where the reader is ----------------------------------------------------------------------

  const words = (heading) => [...heading.childNodes]
    .filter((node) => !node.classList?.contains("headerlink"))
    .map((node) => node.textContent).join("").trim();

  function noteWhere() {
    const title = words(document.querySelector("article h1"));
    const headings = [...document.querySelectorAll("article section[id] > :is(h2, h3)")];
    const above = headings.filter((one) => one.getBoundingClientRect().top < innerHeight / 3);
    const section = above.at(-1)?.parentElement;
    const inside = above.length ? words(above.at(-1)) : "";
    const { last, before } = recall();
    remember({
      last: { page, section: section?.id ?? "", title, inside },
      before: last && last.page !== page ? last : before,
    });
  }
  // Where the reader was before opening this page.
  function elsewhere() {
    const { last, before } = recall();
    return last?.page === page ? before : last;
  }

  function followReader() {
    if (NO_PLACE.includes(page) || page === front || !document.querySelector("article h1")) return;
    let waiting = null;
    addEventListener("scroll", () => {
      clearTimeout(waiting);
      waiting = setTimeout(noteWhere, 300);
    }, { passive: true });
    noteWhere();
    const end = document.querySelector(".prev-next-footer");
    if (!end || !("IntersectionObserver" in window)) return;
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      marked(true);
    }).observe(end);
  }

  // --- showing it -------------------------------------------------------------------------------

  function element(name, properties, ...inside) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...inside);
    return made;
  }
  const pageOf = (link) => new URL(link.href).pathname.split("/").pop().replace(/\.html$/, "");
  const chapters = () => [...document.querySelectorAll(".bd-docs-nav a.internal")];

  function linkBack(last) {
    const where = last.inside ? `${last.title}: ${last.inside}` : last.title;
    const href = new URL(`${last.page}.html${last.section && `#${last.section}`}`, root).href;
    return element("a", { href, className: "bn-back" }, where);
  }

  function show() {
    const { read, keys } = recall();
    const last = elsewhere();
    const names = new Set(chapters().map(pageOf).filter((name) => name !== front));
    const count = read.filter((name) => names.has(name)).length;
    for (const link of chapters()) {
      link.querySelector(".bn-read")?.remove();
      if (!read.includes(pageOf(link))) continue;
      link.append(element("span", { className: "bn-read" },
        element("span", { className: "visually-hidden" }, ", read")));
    }
    const progress = `${count} of ${names.size} pages read to the end.`;
    const back = () => (last ? ["You were in ", linkBack(last), "."] : []);
    dialog.querySelector("[data-progress]").textContent = progress;
    dialog.querySelector("[data-last]").replaceChildren(...back());
    dialog.querySelector("[data-mark]").textContent =
      read.includes(page) ? "Mark this page unread" : "Mark this page read";
    dialog.querySelector("[data-mark]").hidden = !names.has(page);
    dialog.querySelector("[data-keys]").checked = keys;
    if (page !== front) return;
    document.querySelector(".bn-come-back")?.remove();
    if (!last && !count) return;
    const line = element("p", { className: "bn-come-back" }, ...back(), ` ${progress}`);
    document.querySelector("article h1")?.after(line);
  }

  // --- a copy of the site -----------------------------------------------------------------------

  const copies = async () => (await caches.keys()).filter((name) => name.startsWith(COPY + root));
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

  async function showCopy() {
    const say = dialog.querySelector("[data-copy]");
    const keep = dialog.querySelector("[data-keep]");
    const drop = dialog.querySelector("[data-drop]");
    keep.hidden = drop.hidden = true;
    if (location.protocol === "file:") {
      say.textContent = "You read from a folder: that needs no network.";
    } else if (!("serviceWorker" in navigator && "caches" in window)) {
      say.textContent = "This browser keeps no copies of sites at this address.";
    } else {
      const [kept] = await copies();
      drop.hidden = !kept;
      keep.hidden = false;
      keep.textContent = kept ? "Renew the copy" : "Keep the book on this device";
      say.textContent = kept ?
        `This device has a copy: ${kept.slice((COPY + root).length + 1)}. It is read only where the network fails.` :
        "Nothing is kept yet.";
    }
  }

  async function keepCopy() {
    const say = dialog.querySelector("[data-copy]");
    try {
      const list = await (await fetch(new URL("offline.json", root), { cache: "no-store" })).json();
      const unfinished = await caches.open("bn-unfinished");
      let done = 0;
      const waiting = [...list.files];
      const fetchSome = async () => {
        for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
          await unfinished.add(new Request(new URL(file, root), { cache: "no-cache" }));
          done += 1;
          say.textContent = `${done} of ${list.files.length} files, ${megabytes(list.bytes)} in all`;
        }
      };
      await Promise.all([1, 2, 3, 4].map(fetchSome));
      await dropCopy();
      const whole = await caches.open(`${COPY}${root} ${list.edition}`);
      for (const request of await unfinished.keys()) {
        await whole.put(request, await unfinished.match(request));
      }
      await whole.put(root, await unfinished.match(new URL("index.html", root)));
      await navigator.serviceWorker.register(new URL("offline.js", root));
      await showCopy();
    } catch {
      say.textContent = "The copy could not be made: a file did not arrive, or there is no room.";
    } finally {
      await caches.delete("bn-unfinished");
    }
  }

  async function dropCopy() {
    for (const name of await copies()) await caches.delete(name);
    const worker = await navigator.serviceWorker.getRegistration(root);
    await worker?.unregister();
    await showCopy();
  }

  // --- the window and the keys ------------------------------------------------------------------

  function open() {
    if (dialog.open) return;
    opened = document.activeElement;
    show();
    showCopy();
    dialog.showModal();
  }
  const follow = (selector) => document.querySelector(selector)?.click();
  const KEYS = {
    n: () => follow(".prev-next-footer .right-next"),
    p: () => follow(".prev-next-footer .left-prev"),
    b: () => follow(".bn-reading .bn-back"),
    s: () => follow(".search-button__button"),
    d: () => follow(".theme-switch-button"),
    "?": open,
  };

  function press(event) {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const other = event.ctrlKey || event.altKey || event.metaKey || event.isComposing;
    if (event.defaultPrevented || typing || other || document.querySelector("dialog[open]")) return;
    if (!recall().keys || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  }

  function start() {
    dialog = document.getElementById("bn-reading");
    if (!dialog) return;
    document.body.append(dialog); // out of the header, which print and narrow screens hide
    front = pageOf(document.querySelector(".navbar-brand") ?? { href: new URL("intro.html", root) });
    followReader();
    show();
    document.querySelector(".bn-reading-open").addEventListener("click", open);
    dialog.addEventListener("close", () => opened?.focus());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    const on = (name, act) => dialog.querySelector(`[data-${name}]`).addEventListener("click", act);
    on("close", () => dialog.close());
    on("mark", () => marked(!recall().read.includes(page)));
    on("forget", () => remember({ read: [], last: null, before: null }));
    on("keys", (event) => remember({ keys: event.target.checked }));
    on("keep", keepCopy);
    on("drop", dropCopy);
    document.addEventListener("keydown", press);
    // Paper is light.
    const look = document.documentElement.dataset;
    let screen = look.theme;
    addEventListener("beforeprint", () => { screen = look.theme; look.theme = "light"; });
    addEventListener("afterprint", () => { look.theme = screen; });
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
