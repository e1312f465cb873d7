// "Take this figure": saves the picture that a figure shows now, in the colours that it has now.
(() => {
  "use strict";
  const WIDTH = 1920; // pixels of a PNG

  function shown(figure) {
    return figure.querySelector(".bn-frame:not([hidden]) svg, .bn-figure svg");
  }

  // The picture by itself: colours of the style sheet written out, a paper behind it.
  function standalone(picture) {
    const copy = picture.cloneNode(true);
    const { width, height, x, y } = picture.viewBox.baseVal;
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x, y, width, height })) paper.setAttribute(name, value);
    paper.setAttribute("style", "fill: var(--bn-paper)");
    copy.prepend(paper);
    copy.setAttribute("width", WIDTH);
    copy.setAttribute("height", Math.round((WIDTH * height) / width));
    copy.setAttribute("font-family", getComputedStyle(picture).fontFamily);
    const style = getComputedStyle(document.documentElement);
    return new XMLSerializer().serializeToString(copy)
      .replace(/var\((--[\w-]+)[^()]*\)/g, (_, name) => style.getPropertyValue(name).trim());
  }

  function save(address, name) {
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
  }

  function asPng(text, done) {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d").drawImage(image, 0, 0);
      done(canvas.toDataURL("image/png"));
    };
    image.src = asAddress(text);
  }

  function asAddress(text) {
    return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  }

  for (const offer of document.querySelectorAll(".bn-take")) {
    const figure = offer.closest("figure");
    if (!shown(figure)) continue;
    for (const button of offer.querySelectorAll("button")) {
      button.parentElement.hidden = false;
      button.addEventListener("click", () => {
        const text = standalone(shown(figure));
        const name = `${figure.id}.${button.dataset.kind}`;
        if (button.dataset.kind === "svg") save(asAddress(text), name);
        else asPng(text, (address) => save(address, name));
      });
    }
  }
})();
