// Below each page that the search has found: the sections in which the words stand, as links. The
// search itself is Sphinx's; it reads the page anyway, to quote it. From a folder, where a browser
// lets it read nothing, it finds pages only.
(() => {
  "use strict";
  const MOST = 3;
  const NAME = /DOCUMENTATION_OPTIONS\.pagename = '([\w-]+)'/;
  const PLACES = "section[id], .bn-claim, p[id]:not(.bn-claim p)"; // p: a misconception, an exercise
  const NOT_TEXT = "script, style, svg, div.math, .headerlink, .bn-take, .bn-cite";

  // A place by its address, its name and its own words, without those of places inside it.
  function place(element) {
    const id = element.id || element.querySelector("[id]")?.id;
    const name = element.querySelector(":scope > :is(h1, h2, h3, h4, strong), strong");
    const own = [...element.childNodes].filter((node) => !node.matches?.(PLACES));
    const text = own.map((node) => node.textContent).join(" ")
      .replace(/\\[()]|\\(?:var)?(?=[a-z])/g, "").replace(/\s+/g, " ").trim(); // \(\varepsilon\): epsilon
    const claim = element.matches(".bn-claim") && `${text.slice(0, 70)}…`;
    return { id, name: claim || name?.textContent.trim(), text, worth: 0 };
  }

  // A word counts the more, the fewer places have it: "keras" more than "means". In a name it counts
  // twice.
  function judge(places, words) {
    for (const word of words) {
      const having = places.filter(({ text }) => text.toLowerCase().includes(word));
      for (const one of having) {
        one.worth += (one.name.toLowerCase().includes(word) ? 2 : 1) / having.length;
      }
    }
  }

  function best(html, words) {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(NOT_TEXT).forEach((element) => element.remove());
    const places = [...page.querySelectorAll(`article :is(${PLACES})`)].map(place);
    const named = places.filter(({ id, name }) => id && name);
    judge(named, words);
    const sorted = named.filter(({ worth }) => worth).sort((a, b) => b.worth - a.worth);
    return sorted.filter(({ worth }) => worth >= sorted[0].worth / 2).slice(0, MOST);
  }

  function quote(text, words) {
    const low = text.toLowerCase();
    const first = Math.min(...words.map((word) => low.indexOf(word)).filter((at) => at >= 0));
    const start = Math.max(0, first - 120);
    const said = text.slice(start, start + 240).replace(/\S*$/, "").trim();
    return start ? `…${said.replace(/^\S*\s/, "")} …` : `${said} …`;
  }

  const sphinx = Search.makeSearchSummary;
  Search.makeSearchSummary = (html, keywords, anchor) => {
    const words = [...keywords].map((word) => word.toLowerCase());
    const page = html.match(NAME)?.[1];
    const found = anchor || !page ? [] : best(html, words);
    if (!found.length) return sphinx(html, keywords, anchor);
    const said = document.createElement("div");
    const context = Object.assign(document.createElement("p"), { className: "context" });
    context.textContent = quote(found[0].text, words);
    const list = Object.assign(document.createElement("ul"), { className: "bn-places" });
    for (const { id, name } of found) {
      const link = Object.assign(document.createElement("a"), { href: `${page}.html#${id}` });
      link.textContent = name;
      list.appendChild(document.createElement("li")).append(link);
    }
    said.append(context, list);
    return said;
  };
})();
