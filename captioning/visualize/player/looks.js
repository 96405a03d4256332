"use strict";

/*
 * How attention is drawn: the look, its opacity and its colours, and the controls that choose them.
 *
 * createLooks(root, on) returns {view, offer, lookAs, chooseNext, togglePlain}:
 *   view  {look, opacity, colors, plain}, which overlay.js draws by.
 *   offer(data, look)  fills the controls with what the player data has; `look` is that of the first time.
 *   lookAs(look)  takes another look, if there is one of this name.
 *   chooseNext(by)  takes the look that stands so many places after the current one.
 *   togglePlain()  shows the photo alone, or the attention over it again.
 *   on.drawn()  all is to be drawn again.
 *   on.looked()  the look is another.
 *   on.chose(look)  somebody chose it.
 */

function createLooks(root, on) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const view = { look: null, opacity: null, colors: null, plain: false };
  let names = [];

  function offer(data, look) {
    names = data.looks.map(([name]) => name);
    view.look ??= names.includes(look) ? look : data.look;
    view.opacity ??= data.opacity;
    if (!data.color_maps[view.colors]) view.colors = Object.keys(data.color_maps)[0];
    part("looks").replaceChildren(...data.looks.map(([name, title]) => radio(name, title)));
    part("colors").replaceChildren(...Object.keys(data.color_maps).map(option));
    part("opacity").value = Math.round(view.opacity * 100);
    fill(part("opacity"));
    offerColors();
  }

  /** A spotlight has none. */
  function offerColors() {
    part("colors-label").hidden = view.look === "spotlight";
  }

  function radio(name, title) {
    const label = make("label");
    const input = make("input");
    Object.assign(input, { type: "radio", name: "look", value: name, checked: name === view.look });
    input.onchange = () => choose(name);
    label.append(input, make("span", "", title));
    return label;
  }

  function option(name) {
    const element = make("option", "", name[0].toUpperCase() + name.slice(1));
    return Object.assign(element, { value: name, selected: name === view.colors });
  }

  function lookAs(look) {
    if (!names.includes(look)) return;
    view.look = look;
    for (const input of part("looks").querySelectorAll("input")) input.checked = input.value === look;
    offerColors();
    on.drawn();
    on.looked();
  }

  function choose(look) {
    lookAs(look);
    on.chose(look);
  }

  part("looks").after(
    help(
      "Attention weights: how much each cell of the photo's feature grid counted when the word was chosen. " +
        "Where no cell stands out, it looked everywhere, and the photo stays as it is. " +
        "Heat map: from dark to bright, as the scale says. Spotlight: the rest is dark. " +
        "Contour: a line around the smallest region that holds half of the attention. " +
        "What mattered: how much less likely the word becomes when a place is hidden.",
    ),
  );
  part("opacity").oninput = (event) => {
    view.opacity = Number(event.target.value) / 100;
    fill(event.target);
    on.drawn();
  };
  part("colors").onchange = (event) => {
    view.colors = event.target.value;
    on.drawn();
  };

  return {
    view,
    offer,
    lookAs,
    chooseNext: (by) => choose(names[(names.indexOf(view.look) + by + names.length) % names.length]),
    togglePlain() {
      view.plain = !view.plain;
      on.drawn();
    },
  };
}
