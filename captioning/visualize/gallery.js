"use strict";

/* Photos of which one is chosen, on the page and on the page without a server. */

/** Show photos, {title, url}, in a radio group; a photo without a URL has its title alone. `choose(index)` is called. */
function offerPhotos(group, photos, choose) {
  group.replaceChildren(
    ...photos.map(({ title, url }, index) => {
      const label = make("label");
      label.title = title;
      const input = make("input");
      Object.assign(input, { type: "radio", name: "photo", onchange: () => choose(index) });
      const small = make("img");
      if (url) Object.assign(small, { loading: "lazy", src: url, alt: "" });
      label.append(input, url ? small : "", make("span", "title", title));
      return label;
    }),
  );
}

/** Show which photo is chosen; none where there is no such index. */
function markPhoto(group, chosen) {
  group.querySelectorAll("input").forEach((input, index) => (input.checked = index === chosen));
}
