// Brings to life what bnlib.widgets writes, figures that move and guesses made before the answer, and
// the quiz. Without this script a page shows each figure's first frame and gives each answer in a
// <details>.
(() => {
  "use strict";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  function element(name, properties) {
    return Object.assign(document.createElement(name), properties);
  }

  // --- a figure that moves --------------------------------------------------------------------

  function addControls(figure) {
    const frames = [...figure.querySelectorAll(".bn-frame")];
    if (frames.length < 2) return;
    const { label, interval } = figure.dataset;
    const values = JSON.parse(figure.dataset.values);
    const last = frames.length - 1;

    const shown = element("output", { className: "bn-value" });
    shown.setAttribute("aria-live", "off"); // the slider itself says its value
    const line = element("p", { className: "bn-label" });
    line.append(`${label}: `, shown);
    const slider = element("input", { type: "range", min: 0, max: last, step: 1, value: 0 });
    slider.autocomplete = "off"; // some browsers would keep the place over a reload, but not the frame
    slider.setAttribute("aria-label", label);
    const button = element("button", { type: "button", hidden: calm.matches });
    let timer = null;

    function show(index) {
      frames.forEach((frame, i) => { frame.hidden = i !== index; });
      slider.value = index;
      slider.setAttribute("aria-valuetext", values[index]);
      shown.textContent = values[index];
    }
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    }
    function step() {
      const next = slider.valueAsNumber + 1;
      show(next);
      if (next === last) stop();
    }
    function play() {
      if (slider.valueAsNumber === last) show(0);
      button.textContent = "Pause";
      timer = setInterval(step, Number(interval));
    }

    slider.addEventListener("input", () => { stop(); show(slider.valueAsNumber); });
    button.addEventListener("click", () => (timer === null ? play() : stop()));
    calm.addEventListener("change", () => { stop(); button.hidden = calm.matches; });
    const controls = element("div", { className: "bn-controls" });
    controls.append(line, button, slider);
    figure.append(controls);
    stop();
    show(0);
  }

  // --- a guess ------------------------------------------------------------------------------------

  function askFirst(form) {
    const answer = form.querySelector(".bn-answer");
    const button = form.querySelector("button");
    answer.hidden = true;
    button.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const field = form.querySelector("input:checked, input[type=number]");
      const said = element("p", { className: "bn-said", tabIndex: -1 });
      said.textContent = `Your guess: ${inWords(field)}.`;
      answer.querySelector("summary").after(said);
      answer.hidden = false;
      answer.open = true;
      form.querySelector("fieldset").disabled = true;
      button.hidden = true;
      said.focus(); // the button that had the focus is gone; and a screen reader now reads the line
      for (const mark of form.parentElement.querySelectorAll(":scope > .bn-frame [data-place]")) {
        place(mark, field.valueAsNumber);
      }
    });
  }

  function inWords(field) {
    if (field.type === "radio") return field.parentElement.textContent.trim();
    return `${field.value} ${field.dataset.unit}`.trim();
  }

  // Move the line "your guess" of one frame to the guessed number and show it.
  function place(mark, guess) {
    const [axis, scale, low, high, start, end] = JSON.parse(mark.dataset.place);
    const onAxis = scale === "log" ? (x) => Math.log(Math.max(x, Number.MIN_VALUE)) : (x) => x;
    const share = (onAxis(guess) - onAxis(low)) / (onAxis(high) - onAxis(low));
    const kept = Math.min(Math.max(share, 0), 1);
    const at = (start + kept * (end - start)).toFixed(2);
    const text = mark.querySelector("text");
    if (share !== kept) text.textContent = "your guess lies outside";
    if (axis === "x" && kept > 0.5) {
      text.setAttribute("x", -4);
      text.setAttribute("text-anchor", "end");
    }
    if (axis === "y" && kept > 0.9) text.setAttribute("y", 12);
    mark.setAttribute("transform", axis === "x" ? `translate(${at} 0)` : `translate(0 ${at})`);
    mark.setAttribute("visibility", "visible");
  }

  // --- the quiz -----------------------------------------------------------------------------------

  function markAtTheEnd(form) {
    const questions = [...form.querySelectorAll("fieldset")];
    const score = form.querySelector(".bn-score");

    function unmark() {
      for (const question of questions) {
        question.disabled = false;
        question.querySelector(".bn-answer").hidden = true;
      }
      form.querySelector("[type=submit]").hidden = false;
      form.querySelector("[type=reset]").hidden = score.hidden = true;
    }
    // Say of one question how it was answered, and of a wrong answer what it reveals.
    function mark(question) {
      const chosen = question.querySelector("input:checked");
      const right = Boolean(chosen?.hasAttribute("data-right"));
      const answer = question.querySelector(".bn-answer");
      answer.hidden = false;
      answer.open = true;
      answer.querySelector("summary").textContent =
        right ? "Right" : chosen ? "Not right" : "Not answered";
      for (const reason of answer.querySelectorAll("li")) {
        reason.hidden = reason.dataset.answer !== chosen?.value;
      }
      question.disabled = true;
      return right;
    }

    unmark();
    form.addEventListener("reset", () => { unmark(); questions[0].querySelector("input").focus(); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      score.textContent = `${questions.filter(mark).length} of ${questions.length} right.`;
      form.querySelector("[type=submit]").hidden = true;
      form.querySelector("[type=reset]").hidden = score.hidden = false;
      score.focus(); // the button that had the focus is gone; and a screen reader now reads the line
    });
  }

  function start() {
    document.querySelectorAll(".bn-moving").forEach(addControls);
    document.querySelectorAll(".bn-guess").forEach(askFirst);
    document.querySelectorAll(".bn-quiz").forEach(markAtTheEnd);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
